"""`python -m drystone.cmake`: the folder that CMake finds drystone in."""

from drystone.cmake import folder

print(folder())
