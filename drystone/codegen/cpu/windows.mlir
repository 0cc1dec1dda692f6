
// ---- rows of weights that come when they are read ------------------------------------------------------
//
// A window is private memory as large as its weight, of which those pages alone take any that were read from the
// file. For each page a byte says for how many more runs it stays that do not want it, and one more; 0: it is not
// there; 255: it is about to come, or to go; 254: it is about to come along. Threads have parts of the rows: those that
// share a page may both read it, which gives the same bytes.

llvm.func @pread(i32, !llvm.ptr, i64, i64) -> i64
llvm.func @posix_fadvise(i32, i64, i64, i32) -> i32

// The bytes of a window's pages; null where the weight is all there.
func.func private @drystone_held(%call: !llvm.ptr, %slot: i64) -> !llvm.ptr {
  %none = llvm.mlir.zero : !llvm.ptr
  %field = llvm.getelementptr %call[0, 12] : (!llvm.ptr) -> !llvm.ptr, !call
  %table = llvm.load %field : !llvm.ptr -> !llvm.ptr
  %there = llvm.icmp "ne" %table, %none : !llvm.ptr
  %held = scf.if %there -> !llvm.ptr {
    %at = llvm.getelementptr %table[%slot] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.ptr
    %own = llvm.load %at : !llvm.ptr -> !llvm.ptr
    scf.yield %own : !llvm.ptr
  } else {
    scf.yield %none : !llvm.ptr
  }
  return %held : !llvm.ptr
}

// The part of so many that is a thread's.
func.func private @drystone_own(%team: !llvm.ptr, %thread: i32, %all: i64) -> (i64, i64) {
  %one = arith.constant 1 : i64
  %n = call @drystone_threads(%team) : (!llvm.ptr) -> i32
  %threads = arith.extsi %n : i32 to i64
  %number = arith.extsi %thread : i32 to i64
  %next = arith.addi %number, %one : i64
  %before = arith.muli %all, %number : i64
  %after = arith.muli %all, %next : i64
  %first = arith.divui %before, %threads : i64
  %end = arith.divui %after, %threads : i64
  return %first, %end : i64, i64
}

// Whether one of `count` lines of `rows` numbers, each of `units` times 16 bits, has no 0 at `row`.
func.func private @drystone_is_live(%live: !llvm.ptr, %count: i64, %rows: i64, %units: i64, %row: i64) -> i1 {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %none = arith.constant 0 : i16
  %magnitude = arith.constant 32767 : i16
  %all = arith.constant -1 : i16
  %last = arith.subi %units, %one : i64
  %found = scf.for %line = %zero to %count step %one iter_args(%some = %none) -> (i16) : i64 {
    %start = arith.muli %line, %rows : i64
    %number = arith.addi %start, %row : i64
    %first = arith.muli %number, %units : i64
    %bits = scf.for %unit = %zero to %units step %one iter_args(%known = %some) -> (i16) : i64 {
      %place = arith.addi %first, %unit : i64
      %at = llvm.getelementptr %live[%place] : (!llvm.ptr, i64) -> !llvm.ptr, i16
      %read = llvm.load %at : !llvm.ptr -> i16
      %signed = arith.cmpi eq, %unit, %last : i64
      %mask = arith.select %signed, %magnitude, %all : i16
      %own = arith.andi %read, %mask : i16
      %both = arith.ori %known, %own : i16
      scf.yield %both : i16
    }
    scf.yield %bits : i16
  }
  %is = arith.cmpi ne, %found, %none : i16
  return %is : i1
}

// Pages first <= p < end are wanted: those that are there stay, the others are to come.
func.func private @drystone_mark(%held: !llvm.ptr, %first: i64, %end: i64, %life: i8) {
  %one = arith.constant 1 : i64
  %absent = arith.constant 0 : i8
  %coming = arith.constant -1 : i8
  scf.for %page = %first to %end step %one : i64 {
    %at = llvm.getelementptr %held[%page] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %is = llvm.load %at : !llvm.ptr -> i8
    %out = arith.cmpi eq, %is, %absent : i8
    %soon = arith.cmpi eq, %is, %coming : i8
    %either = arith.ori %out, %soon : i1
    %new = arith.select %either, %coming, %life : i8
    llvm.store %new, %at : i8, !llvm.ptr
  }
  return
}

// The first page from `page` up to `end` that is coming or going, or that is not; `end` where there is none.
func.func private @drystone_seek(%held: !llvm.ptr, %page: i64, %end: i64, %marked: i1) -> i64 {
  %one = arith.constant 1 : i64
  %mark = arith.constant -2 : i8
  %found = scf.while (%p = %page) : (i64) -> i64 {
    %inside = arith.cmpi ult, %p, %end : i64
    %on = scf.if %inside -> i1 {
      %at = llvm.getelementptr %held[%p] : (!llvm.ptr, i64) -> !llvm.ptr, i8
      %is = llvm.load %at : !llvm.ptr -> i8
      %has = arith.cmpi uge, %is, %mark : i8
      %other = arith.cmpi ne, %has, %marked : i1
      scf.yield %other : i1
    } else {
      scf.yield %inside : i1
    }
    scf.condition(%on) %p : i64
  } do {
  ^bb0(%p: i64):
    %next = arith.addi %p, %one : i64
    scf.yield %next : i64
  }
  return %found : i64
}

// Read a stretch of the file; whether all of it came.
func.func private @drystone_read(%file: i32, %to: !llvm.ptr, %bytes: i64, %offset: i64) -> i1 {
  %zero = arith.constant 0 : i64
  %left = scf.while (%done = %zero) : (i64) -> i64 {
    %rest = arith.subi %bytes, %done : i64
    %at = llvm.getelementptr %to[%done] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %from = arith.addi %offset, %done : i64
    %more = arith.cmpi sgt, %rest, %zero : i64
    %got = scf.if %more -> i64 {
      %n = llvm.call @pread(%file, %at, %rest, %from) : (i32, !llvm.ptr, i64, i64) -> i64
      scf.yield %n : i64
    } else {
      scf.yield %zero : i64
    }
    %now = arith.addi %done, %got : i64
    %on = arith.cmpi sgt, %got, %zero : i64
    scf.condition(%on) %now : i64
  } do {
  ^bb0(%now: i64):
    scf.yield %now : i64
  }
  %whole = arith.cmpi eq, %left, %bytes : i64
  return %whole : i1
}

// Where the bytes of pages first <= p < end of a weight of so many bytes start, and how many they are.
func.func private @drystone_stretch(%first: i64, %end: i64, %bytes: i64) -> (i64, i64) {
  %size = arith.constant 4096 : i64
  %start = arith.muli %first, %size : i64
  %past = arith.muli %end, %size : i64
  %last = arith.minui %past, %bytes : i64
  %length = arith.subi %last, %start : i64
  return %start, %length : i64, i64
}

// Up to three pages that are not there come along between two that are to come: a disk moves so many while it begins
// to read elsewhere.
func.func private @drystone_bridge(%held: !llvm.ptr, %page: i64, %end: i64) {
  %one = arith.constant 1 : i64
  %most = arith.constant 3 : i64
  %zero = arith.constant 0 : i64
  %far = arith.constant 4 : i64
  %absent = arith.constant 0 : i8
  %coming = arith.constant -1 : i8
  %along = arith.constant -2 : i8
  // How many absent pages lie behind the last that is to come; four where others do, or more.
  %gap = scf.for %p = %page to %end step %one iter_args(%behind = %far) -> (i64) : i64 {
    %at = llvm.getelementptr %held[%p] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %is = llvm.load %at : !llvm.ptr -> i8
    %comes = arith.cmpi eq, %is, %coming : i8
    %out = arith.cmpi eq, %is, %absent : i8
    %near = arith.cmpi sle, %behind, %most : i64
    %joins = arith.andi %comes, %near : i1
    scf.if %joins {
      %start = arith.subi %p, %behind : i64
      func.call @drystone_said(%held, %start, %p, %along) : (!llvm.ptr, i64, i64, i8) -> ()
    }
    %next = arith.addi %behind, %one : i64
    %more = arith.minsi %next, %far : i64
    %absents = arith.select %out, %more, %far : i64
    %now = arith.select %comes, %zero, %absents : i64
    scf.yield %now : i64
  }
  return
}

// What is said of pages from now on.
func.func private @drystone_said(%held: !llvm.ptr, %first: i64, %end: i64, %value: i8) {
  %count = arith.subi %end, %first : i64
  %at = llvm.getelementptr %held[%first] : (!llvm.ptr, i64) -> !llvm.ptr, i8
  "llvm.intr.memset"(%at, %value, %count) <{isVolatile = false}> : (!llvm.ptr, i8, i64) -> ()
  return
}

// Pages that were to come are there: those that came along for this run alone.
func.func private @drystone_came(%held: !llvm.ptr, %first: i64, %end: i64, %life: i8) {
  %one = arith.constant 1 : i64
  %along = arith.constant -2 : i8
  %once = arith.constant 1 : i8
  scf.for %p = %first to %end step %one : i64 {
    %at = llvm.getelementptr %held[%p] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %is = llvm.load %at : !llvm.ptr -> i8
    %only = arith.cmpi eq, %is, %along : i8
    %new = arith.select %only, %once, %life : i8
    llvm.store %new, %at : i8, !llvm.ptr
  }
  return
}

// Read those pages from `page` up to `end` that are to come; how many bytes came, or -1. The system hears of all of
// them first, so that it reads several at once.
func.func private @drystone_fetch(
    %file: i32, %base: !llvm.ptr, %held: !llvm.ptr, %place: i64, %bytes: i64, %page: i64, %end: i64, %life: i8) -> i64 {
  %zero = arith.constant 0 : i64
  %failed = arith.constant -1 : i64
  %true = arith.constant true
  %false = arith.constant false
  %soon = arith.constant 3 : i32
  call @drystone_bridge(%held, %page, %end) : (!llvm.ptr, i64, i64) -> ()
  scf.while (%p = %page) : (i64) -> (i64, i64) {
    %first = func.call @drystone_seek(%held, %p, %end, %true) : (!llvm.ptr, i64, i64, i1) -> i64
    %last = func.call @drystone_seek(%held, %first, %end, %false) : (!llvm.ptr, i64, i64, i1) -> i64
    %some = arith.cmpi ult, %first, %last : i64
    scf.condition(%some) %first, %last : i64, i64
  } do {
  ^bb0(%first: i64, %last: i64):
    %start, %length = func.call @drystone_stretch(%first, %last, %bytes) : (i64, i64, i64) -> (i64, i64)
    %from = arith.addi %place, %start : i64
    %r = llvm.call @posix_fadvise(%file, %from, %length, %soon) : (i32, i64, i64, i32) -> i32
    scf.yield %last : i64
  }
  %read:2 = scf.while (%p = %page, %sum = %zero) : (i64, i64) -> (i64, i64) {
    %first = func.call @drystone_seek(%held, %p, %end, %true) : (!llvm.ptr, i64, i64, i1) -> i64
    %last = func.call @drystone_seek(%held, %first, %end, %false) : (!llvm.ptr, i64, i64, i1) -> i64
    %some = arith.cmpi ult, %first, %last : i64
    %now = scf.if %some -> i64 {
      %start, %length = func.call @drystone_stretch(%first, %last, %bytes) : (i64, i64, i64) -> (i64, i64)
      %from = arith.addi %place, %start : i64
      %to = llvm.getelementptr %base[%start] : (!llvm.ptr, i64) -> !llvm.ptr, i8
      %fine = func.call @drystone_read(%file, %to, %length, %from) : (i32, !llvm.ptr, i64, i64) -> i1
      func.call @drystone_came(%held, %first, %last, %life) : (!llvm.ptr, i64, i64, i8) -> ()
      %total = arith.addi %sum, %length : i64
      %kept = arith.select %fine, %total, %failed : i64
      scf.yield %kept : i64
    } else {
      scf.yield %sum : i64
    }
    %well = arith.cmpi ne, %now, %failed : i64
    %on = arith.andi %some, %well : i1
    scf.condition(%on) %last, %now : i64, i64
  } do {
  ^bb0(%p: i64, %sum: i64):
    scf.yield %p, %sum : i64, i64
  }
  return %read#1 : i64
}

// Before a kernel reads a weight [rows, row]: those of its rows come, where it has a window, that are not left out.
// `live`: the address of numbers [count, rows], `units` times 16 bits each, of which those of a row are 0 where it is
// left out; more than `few` lines want all rows.
func.func private @drystone_want(
    %call: !llvm.ptr, %team: !llvm.ptr, %thread: i32, %slot: i64, %rows: i64, %row: i64, %life: i64, %live: i64,
    %count: i64, %units: i64, %few: i64, %status: i64) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %page = arith.constant 4096 : i64
  %past = arith.constant 4095 : i64
  %none = llvm.mlir.zero : !llvm.ptr
  %held = call @drystone_held(%call, %slot) : (!llvm.ptr, i64) -> !llvm.ptr
  %comes = llvm.icmp "ne" %held, %none : !llvm.ptr
  scf.if %comes {
    %numbers = llvm.inttoptr %live : i64 to !llvm.ptr
    %alive = arith.trunci %life : i64 to i8
    %many = arith.cmpi sgt, %count, %few : i64
    %first, %end = func.call @drystone_own(%team, %thread, %rows) : (!llvm.ptr, i32, i64) -> (i64, i64)
    scf.for %r = %first to %end step %one : i64 {
      %wanted = scf.if %many -> i1 {
        scf.yield %many : i1
      } else {
        %is = func.call @drystone_is_live(%numbers, %count, %rows, %units, %r) : (!llvm.ptr, i64, i64, i64, i64) -> i1
        scf.yield %is : i1
      }
      scf.if %wanted {
        %start = arith.muli %r, %row : i64
        %last = arith.addi %start, %row : i64
        %rounded = arith.addi %last, %past : i64
        %begin = arith.divui %start, %page : i64
        %stop = arith.divui %rounded, %page : i64
        func.call @drystone_mark(%held, %begin, %stop, %alive) : (!llvm.ptr, i64, i64, i8) -> ()
      }
    }
    %bytes = arith.muli %rows, %row : i64
    %own = arith.muli %first, %row : i64
    %after = arith.muli %end, %row : i64
    %up = arith.addi %after, %past : i64
    %low = arith.divui %own, %page : i64
    %high = arith.divui %up, %page : i64
    %table_at = llvm.getelementptr %call[0, 0] : (!llvm.ptr) -> !llvm.ptr, !call
    %file_at = llvm.getelementptr %call[0, 10] : (!llvm.ptr) -> !llvm.ptr, !call
    %places_at = llvm.getelementptr %call[0, 11] : (!llvm.ptr) -> !llvm.ptr, !call
    %read_at = llvm.getelementptr %call[0, 13] : (!llvm.ptr) -> !llvm.ptr, !call
    %table = llvm.load %table_at : !llvm.ptr -> !llvm.ptr
    %wide = llvm.load %file_at : !llvm.ptr -> i64
    %places = llvm.load %places_at : !llvm.ptr -> !llvm.ptr
    %read = llvm.load %read_at : !llvm.ptr -> !llvm.ptr
    %base_at = llvm.getelementptr %table[%slot] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.ptr
    %place_at = llvm.getelementptr %places[%slot] : (!llvm.ptr, i64) -> !llvm.ptr, i64
    %base = llvm.load %base_at : !llvm.ptr -> !llvm.ptr
    %place = llvm.load %place_at : !llvm.ptr -> i64
    %file = arith.trunci %wide : i64 to i32
    %came = func.call @drystone_fetch(%file, %base, %held, %place, %bytes, %low, %high, %alive)
      : (i32, !llvm.ptr, !llvm.ptr, i64, i64, i64, i64, i8) -> i64
    %failed = arith.cmpi slt, %came, %zero : i64
    scf.if %failed {
      %code = arith.trunci %status : i64 to i32
      func.call @drystone_fail(%team, %code) : (!llvm.ptr, i32) -> ()
    } else {
      %counts = llvm.icmp "ne" %read, %none : !llvm.ptr
      scf.if %counts {
        %old = llvm.atomicrmw add %read, %came monotonic : !llvm.ptr, i64
      }
    }
  }
  return
}

// Those of pages first <= p < end go that are to stay for `value` more runs, until no more than `most` of `count` are
// left; how many are.
func.func private @drystone_shed(
    %held: !llvm.ptr, %first: i64, %end: i64, %value: i64, %count: i64, %most: i64) -> i64 {
  %one = arith.constant 1 : i64
  %going = arith.constant -1 : i8
  %life = arith.trunci %value : i64 to i8
  %left = scf.for %p = %first to %end step %one iter_args(%there = %count) -> (i64) : i64 {
    %at = llvm.getelementptr %held[%p] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %is = llvm.load %at : !llvm.ptr -> i8
    %same = arith.cmpi eq, %is, %life : i8
    %above = arith.cmpi sgt, %there, %most : i64
    %goes = arith.andi %same, %above : i1
    %new = arith.select %goes, %going, %is : i8
    llvm.store %new, %at : i8, !llvm.ptr
    %fewer = arith.subi %there, %one : i64
    %now = arith.select %goes, %fewer, %there : i64
    scf.yield %now : i64
  }
  return %left : i64
}

// All pages first <= p < end have a run less to stay; how many stay.
func.func private @drystone_age(%held: !llvm.ptr, %first: i64, %end: i64) -> i64 {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %absent = arith.constant 0 : i8
  %less = arith.constant 1 : i8
  %going = arith.constant -1 : i8
  %left = scf.for %p = %first to %end step %one iter_args(%there = %zero) -> (i64) : i64 {
    %at = llvm.getelementptr %held[%p] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %is = llvm.load %at : !llvm.ptr -> i8
    %out = arith.cmpi eq, %is, %absent : i8
    %last = arith.cmpi eq, %is, %less : i8
    %older = arith.subi %is, %less : i8
    %kept = arith.select %last, %going, %older : i8
    %new = arith.select %out, %absent, %kept : i8
    llvm.store %new, %at : i8, !llvm.ptr
    %none = arith.ori %out, %last : i1
    %more = arith.addi %there, %one : i64
    %now = arith.select %none, %there, %more : i64
    scf.yield %now : i64
  }
  return %left : i64
}

// After the last kernel that reads a weight of so many bytes, on thread 0: of its window pages go that no run has
// wanted for a while, then those that none has for longest, until `most` pages are left. Where several threads give
// pages back, each holds the others up. A weight without a window goes as others do.
func.func private @drystone_keep(
    %call: !llvm.ptr, %team: !llvm.ptr, %thread: i32, %slot: i64, %bytes: i64, %life: i64, %most: i64)
    attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %page = arith.constant 4096 : i64
  %past = arith.constant 4095 : i64
  %none = llvm.mlir.zero : !llvm.ptr
  %held = call @drystone_held(%call, %slot) : (!llvm.ptr, i64) -> !llvm.ptr
  %comes = llvm.icmp "ne" %held, %none : !llvm.ptr
  %caller = arith.constant 0 : i32
  %alone = arith.cmpi eq, %thread, %caller : i32
  %both = arith.andi %comes, %alone : i1
  scf.if %both {
    %up = arith.addi %bytes, %past : i64
    %pages = arith.divui %up, %page : i64
    %there = func.call @drystone_age(%held, %zero, %pages) : (!llvm.ptr, i64, i64) -> i64
    scf.while (%value = %one, %left = %there) : (i64, i64) -> (i64, i64) {
      %above = arith.cmpi sgt, %left, %most : i64
      %young = arith.cmpi sle, %value, %life : i64
      %on = arith.andi %above, %young : i1
      scf.condition(%on) %value, %left : i64, i64
    } do {
    ^bb0(%value: i64, %left: i64):
      %fewer = func.call @drystone_shed(%held, %zero, %pages, %value, %left, %most)
        : (!llvm.ptr, i64, i64, i64, i64, i64) -> i64
      %next = arith.addi %value, %one : i64
      scf.yield %next, %fewer : i64, i64
    }
    func.call @drystone_let_go(%call, %slot, %held, %zero, %pages) : (!llvm.ptr, i64, !llvm.ptr, i64, i64) -> ()
  }
  %stays = llvm.icmp "eq" %held, %none : !llvm.ptr
  scf.if %stays {
    func.call @drystone_drop(%call, %thread, %slot, %bytes) : (!llvm.ptr, i32, i64, i64) -> ()
  }
  return
}

// The first page from `page` up to `end` that stays; `end` where none does.
func.func private @drystone_staying(%held: !llvm.ptr, %page: i64, %end: i64) -> i64 {
  %one = arith.constant 1 : i64
  %absent = arith.constant 0 : i8
  %mark = arith.constant -2 : i8
  %found = scf.while (%p = %page) : (i64) -> i64 {
    %inside = arith.cmpi ult, %p, %end : i64
    %on = scf.if %inside -> i1 {
      %at = llvm.getelementptr %held[%p] : (!llvm.ptr, i64) -> !llvm.ptr, i8
      %is = llvm.load %at : !llvm.ptr -> i8
      %out = arith.cmpi eq, %is, %absent : i8
      %goes = arith.cmpi uge, %is, %mark : i8
      %either = arith.ori %out, %goes : i1
      scf.yield %either : i1
    } else {
      scf.yield %inside : i1
    }
    scf.condition(%on) %p : i64
  } do {
  ^bb0(%p: i64):
    %next = arith.addi %p, %one : i64
    scf.yield %next : i64
  }
  return %found : i64
}

// Give back the memory of those pages first <= p < end that are going (MADV_DONTNEED), with what is not there between
// them: each time all threads must forget where pages were.
func.func private @drystone_let_go(%call: !llvm.ptr, %slot: i64, %held: !llvm.ptr, %first: i64, %end: i64) {
  %true = arith.constant true
  %absent = arith.constant 0 : i8
  %size = arith.constant 4096 : i64
  %dont_need = arith.constant 4 : i32
  %table_at = llvm.getelementptr %call[0, 0] : (!llvm.ptr) -> !llvm.ptr, !call
  %table = llvm.load %table_at : !llvm.ptr -> !llvm.ptr
  %base_at = llvm.getelementptr %table[%slot] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.ptr
  %base = llvm.load %base_at : !llvm.ptr -> !llvm.ptr
  scf.while (%p = %first) : (i64) -> (i64, i64) {
    %from = func.call @drystone_seek(%held, %p, %end, %true) : (!llvm.ptr, i64, i64, i1) -> i64
    %to = func.call @drystone_staying(%held, %from, %end) : (!llvm.ptr, i64, i64) -> i64
    %some = arith.cmpi ult, %from, %to : i64
    scf.condition(%some) %from, %to : i64, i64
  } do {
  ^bb0(%from: i64, %to: i64):
    %start = arith.muli %from, %size : i64
    %count = arith.subi %to, %from : i64
    %length = arith.muli %count, %size : i64
    %at = llvm.getelementptr %base[%start] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %r = llvm.call @madvise(%at, %length, %dont_need) : (!llvm.ptr, i64, i32) -> i32
    func.call @drystone_said(%held, %from, %to, %absent) : (!llvm.ptr, i64, i64, i8) -> ()
    scf.yield %to : i64
  }
  return
}
