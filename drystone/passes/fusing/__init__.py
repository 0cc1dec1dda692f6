"""Operations that become one."""
