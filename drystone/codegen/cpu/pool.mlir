// The thread pool, and the C functions of a compiled model. Put in front of the kernels and the driver; the
// driver (`@drystone_driver`, made for each model) is what every thread of a team runs. A run tells the workers
// its driver, so that models can share a pool that the code of one of them made.
//
// What the driver calls for every kernel stays a function (no_inline), or the driver would grow with each call.
//
// A team is one block of memory: a head of cache lines, each written by few, then one !member per thread.
//   line 0  what a run is given: the call, the result's status, the number of threads that take part
//   line 1  epoch: for every run another number, and below it (10 bits) how many threads take part; workers
//           wait for it to move. idle: workers asleep on it.
//           core: where the thread ran that last woke them
//   line 2  arrived: threads that reached the current barrier. left: workers that have left the run's driver.
//           asleep: whether the caller is asleep on it. core: as above
//   line 3  generation: one more for every barrier passed. asleep: threads asleep on it. core: as above
//   line 4  busy: a run is under way. stop: workers are to end. The driver of the run. The size: threads of
//           the team. pinned: whether each has a core of its own
!team = !llvm.struct<"drystone_team", (
  ptr, i32, i32, array<48 x i8>,
  i32, array<2 x i32>, array<52 x i8>,
  i32, array<15 x i32>,
  i32, array<2 x i32>, array<52 x i8>,
  i32, i32, ptr, i32, i32, array<40 x i8>
)>
// A thread of a team: the team, its number (0 is the caller of drystone_run), its pthread_t, and what is claimed
// of its part of a grid (by the parity of the generation: units from the front, and 32 bits higher from the back).
!member = !llvm.struct<"drystone_member", (ptr, i64, i64, array<2 x i64>, array<24 x i8>)>
// What a thread that is alone has of both.
!single = !llvm.struct<"drystone_single", (!team, !member)>
// struct drystone_call: weights, arena, inputs, outputs, states, symbols, profile, threads (0: all of the pool),
// progress, mapped, file, places, held, read.
!call = !llvm.struct<"drystone_call", (ptr, ptr, ptr, ptr, ptr, ptr, ptr, i64, ptr, i64, i64, ptr, ptr, ptr)>

llvm.func @malloc(i64) -> !llvm.ptr
llvm.func @free(!llvm.ptr)
llvm.func @pthread_create(!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr) -> i32
llvm.func @pthread_join(i64, !llvm.ptr) -> i32
llvm.func @syscall(i64, ...) -> i64
llvm.func @sched_getcpu() -> i32
llvm.func @sched_getaffinity(i32, i64, !llvm.ptr) -> i32
llvm.func @sched_setaffinity(i32, i64, !llvm.ptr) -> i32
llvm.func @clock_gettime(i32, !llvm.ptr) -> i32
llvm.func @madvise(!llvm.ptr, i64, i32) -> i32

// ---- waiting -------------------------------------------------------------------------------------------

// Sleep while the word holds `value` (futex WAIT, private). May return early; callers look again.
func.func private @drystone_sleep(%word: !llvm.ptr, %value: i32) {
  %futex = arith.constant 202 : i64
  %wait = arith.constant 128 : i32
  %none = llvm.mlir.zero : !llvm.ptr
  %r = llvm.call @syscall(%futex, %word, %wait, %value, %none)
    vararg(!llvm.func<i64 (i64, ...)>) : (i64, !llvm.ptr, i32, i32, !llvm.ptr) -> i64
  return
}

// Wake every thread asleep on the word (futex WAKE, private).
func.func private @drystone_wake(%word: !llvm.ptr) {
  %futex = arith.constant 202 : i64
  %wake = arith.constant 129 : i32
  %all = arith.constant 2147483647 : i32
  %r = llvm.call @syscall(%futex, %word, %wake, %all)
    vararg(!llvm.func<i64 (i64, ...)>) : (i64, !llvm.ptr, i32, i32) -> i64
  return
}

// Leave the core for another, if it is the one whose number is at `waker`: Linux likes to put a woken thread
// beside the one that woke it, and there they would take turns until its balancer comes by, tens of
// milliseconds later. What cores the thread may use is as before, afterwards.
func.func private @drystone_step_aside(%waker: !llvm.ptr) {
  %self = arith.constant 0 : i32
  %one = arith.constant 1 : i64
  %cells = arith.constant 16 : i64
  %bytes = arith.constant 128 : i64
  %most = arith.constant 1024 : i32
  %low = arith.constant 63 : i64
  %log = arith.constant 6 : i64
  %mask = llvm.alloca %cells x i64 : (i64) -> !llvm.ptr
  %theirs = llvm.load %waker atomic monotonic {alignment = 4 : i64} : !llvm.ptr -> i32
  %here = llvm.call @sched_getcpu() : () -> i32
  %together = arith.cmpi eq, %here, %theirs : i32
  %known = arith.cmpi ult, %here, %most : i32
  %leave = arith.andi %together, %known : i1
  scf.if %leave {
    %error = llvm.call @sched_getaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
    %told = arith.cmpi eq, %error, %self : i32
    scf.if %told {
      %core = arith.extui %here : i32 to i64
      %cell = arith.shrui %core, %log : i64
      %place = arith.andi %core, %low : i64
      %bit = arith.shli %one, %place : i64
      %at = llvm.getelementptr %mask[%cell] : (!llvm.ptr, i64) -> !llvm.ptr, i64
      %all = llvm.load %at : !llvm.ptr -> i64
      %others = arith.xori %all, %bit : i64
      llvm.store %others, %at : i64, !llvm.ptr
      // Refused where there is no other core.
      %moved = llvm.call @sched_setaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
      llvm.store %all, %at : i64, !llvm.ptr
      %restored = llvm.call @sched_setaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
    }
  }
  return
}

// Keep this thread on one core: of those it may use, number `number`, counted round.
func.func private @drystone_pin(%number: i32) {
  %self = arith.constant 0 : i32
  %cells = arith.constant 16 : i64
  %bytes = arith.constant 128 : i64
  %cores = arith.constant 1024 : i64
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %none = arith.constant -1 : i64
  %low = arith.constant 63 : i64
  %log = arith.constant 6 : i64
  %clear = arith.constant 0 : i8
  %mask = llvm.alloca %cells x i64 : (i64) -> !llvm.ptr
  %error = llvm.call @sched_getaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
  %told = arith.cmpi eq, %error, %self : i32
  scf.if %told {
    %count = scf.for %cell = %zero to %cells step %one iter_args(%sum = %zero) -> (i64) : i64 {
      %at = llvm.getelementptr %mask[%cell] : (!llvm.ptr, i64) -> !llvm.ptr, i64
      %bits = llvm.load %at : !llvm.ptr -> i64
      %set = llvm.intr.ctpop(%bits) : (i64) -> i64
      %more = arith.addi %sum, %set : i64
      scf.yield %more : i64
    }
    %wanted = arith.extui %number : i32 to i64
    %several = arith.maxui %count, %one : i64
    %turn = arith.remui %wanted, %several : i64
    %found:2 = scf.for %core = %zero to %cores step %one iter_args(%left = %turn, %chosen = %none)
        -> (i64, i64) : i64 {
      %cell = arith.shrui %core, %log : i64
      %at = llvm.getelementptr %mask[%cell] : (!llvm.ptr, i64) -> !llvm.ptr, i64
      %bits = llvm.load %at : !llvm.ptr -> i64
      %place = arith.andi %core, %low : i64
      %moved = arith.shrui %bits, %place : i64
      %bit = arith.andi %moved, %one : i64
      %usable = arith.cmpi eq, %bit, %one : i64
      %ours = arith.cmpi eq, %left, %zero : i64
      %this = arith.andi %usable, %ours : i1
      %now = arith.select %this, %core, %chosen : i64
      %rest = arith.subi %left, %bit : i64
      scf.yield %rest, %now : i64, i64
    }
    %some = arith.cmpi sge, %found#1, %zero : i64
    scf.if %some {
      "llvm.intr.memset"(%mask, %clear, %bytes) <{isVolatile = false}> : (!llvm.ptr, i8, i64) -> ()
      %cell = arith.shrui %found#1, %log : i64
      %place = arith.andi %found#1, %low : i64
      %bit = arith.shli %one, %place : i64
      %at = llvm.getelementptr %mask[%cell] : (!llvm.ptr, i64) -> !llvm.ptr, i64
      llvm.store %bit, %at : i64, !llvm.ptr
      %done = llvm.call @sched_setaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
    }
  }
  return
}

// Return once the word differs from `old`: look for 2^19 ticks of the cycle counter, some 200 us, then sleep. (A
// pause takes 10 ns on one machine and 60 on another, so they are not counted.) `sleepers` counts the
// threads asleep, so that who moves the word makes a system call only when it must; both sides use
// sequentially consistent order, so either the mover sees the sleeper or the sleeper the moved word. After
// it comes the core of who woke them.
func.func private @drystone_await(%word: !llvm.ptr, %old: i32, %sleepers: !llvm.ptr) {
  %one = arith.constant 1 : i32
  %patience = arith.constant 524288 : i64
  %began = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
  %tired = scf.while : () -> i1 {
    %now = llvm.load %word atomic acquire {alignment = 4 : i64} : !llvm.ptr -> i32
    %same = arith.cmpi eq, %now, %old : i32
    %time = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
    %waited = arith.subi %time, %began : i64
    %patient = arith.cmpi ult, %waited, %patience : i64
    %again = arith.andi %same, %patient : i1
    scf.condition(%again) %same : i1
  } do {
  ^bb0(%same: i1):
    llvm.call_intrinsic "llvm.x86.sse2.pause"() : () -> ()
    scf.yield
  }
  scf.if %tired {
    %before = llvm.atomicrmw add %sleepers, %one seq_cst : !llvm.ptr, i32
    scf.while : () -> () {
      %now = llvm.load %word atomic seq_cst {alignment = 4 : i64} : !llvm.ptr -> i32
      %same = arith.cmpi eq, %now, %old : i32
      scf.condition(%same)
    } do {
      func.call @drystone_sleep(%word, %old) : (!llvm.ptr, i32) -> ()
      scf.yield
    }
    %after = llvm.atomicrmw sub %sleepers, %one seq_cst : !llvm.ptr, i32
    %waker = llvm.getelementptr %sleepers[1] : (!llvm.ptr) -> !llvm.ptr, i32
    func.call @drystone_step_aside(%waker) : (!llvm.ptr) -> ()
  }
  return
}

// Move the word on by one and wake those who sleep on it.
func.func private @drystone_advance(%word: !llvm.ptr, %sleepers: !llvm.ptr) {
  %one = arith.constant 1 : i32
  %old = llvm.atomicrmw add %word, %one seq_cst : !llvm.ptr, i32
  call @drystone_rouse(%word, %sleepers) : (!llvm.ptr, !llvm.ptr) -> ()
  return
}

// Wake those who sleep on the word, which has moved.
func.func private @drystone_rouse(%word: !llvm.ptr, %sleepers: !llvm.ptr) {
  %zero = arith.constant 0 : i32
  %asleep = llvm.load %sleepers atomic seq_cst {alignment = 4 : i64} : !llvm.ptr -> i32
  %any = arith.cmpi ne, %asleep, %zero : i32
  scf.if %any {
    %core = llvm.getelementptr %sleepers[1] : (!llvm.ptr) -> !llvm.ptr, i32
    %here = llvm.call @sched_getcpu() : () -> i32
    llvm.store %here, %core atomic monotonic {alignment = 4 : i64} : i32, !llvm.ptr
    func.call @drystone_wake(%word) : (!llvm.ptr) -> ()
  }
  return
}

// ---- sharing work --------------------------------------------------------------------------------------

func.func private @drystone_threads(%team: !llvm.ptr) -> i32 {
  %at = llvm.getelementptr %team[0, 2] : (!llvm.ptr) -> !llvm.ptr, !team
  %threads = llvm.load %at : !llvm.ptr -> i32
  return %threads : i32
}

// Where is kept what is claimed of the part of a grid that is a thread's, in some generation.
func.func private @drystone_claims(%team: !llvm.ptr, %thread: i32, %generation: i32) -> !llvm.ptr {
  %one = arith.constant 1 : i32
  %parity = arith.andi %generation, %one : i32
  %members = llvm.getelementptr %team[1] : (!llvm.ptr) -> !llvm.ptr, !team
  %at = llvm.getelementptr %members[%thread, 3, %parity] : (!llvm.ptr, i32, i32) -> !llvm.ptr, !member
  return %at : !llvm.ptr
}

// Wait until every thread of the team is here. Each has cleared what will be claimed of its part of the next grid;
// of this grid's others may still want to know it.
func.func private @drystone_barrier(%team: !llvm.ptr, %thread: i32) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %zero64 = arith.constant 0 : i64
  %arrived = llvm.getelementptr %team[0, 7] : (!llvm.ptr) -> !llvm.ptr, !team
  %generation = llvm.getelementptr %team[0, 9] : (!llvm.ptr) -> !llvm.ptr, !team
  %asleep = llvm.getelementptr %team[0, 10] : (!llvm.ptr) -> !llvm.ptr, !team
  %threads = call @drystone_threads(%team) : (!llvm.ptr) -> i32
  %alone = arith.cmpi eq, %threads, %one : i32
  // Read before arriving: it cannot move until this thread arrives.
  %current = llvm.load %generation atomic acquire {alignment = 4 : i64} : !llvm.ptr -> i32
  %following = arith.addi %current, %one : i32
  %claims = call @drystone_claims(%team, %thread, %following) : (!llvm.ptr, i32, i32) -> !llvm.ptr
  llvm.store %zero64, %claims atomic monotonic {alignment = 8 : i64} : i64, !llvm.ptr
  scf.if %alone {
    llvm.store %following, %generation : i32, !llvm.ptr
  } else {
    %others = llvm.atomicrmw add %arrived, %one acq_rel : !llvm.ptr, i32
    %sum = arith.addi %others, %one : i32
    %last = arith.cmpi eq, %sum, %threads : i32
    scf.if %last {
      llvm.store %zero, %arrived atomic release {alignment = 4 : i64} : i32, !llvm.ptr
      func.call @drystone_advance(%generation, %asleep) : (!llvm.ptr, !llvm.ptr) -> ()
    } else {
      func.call @drystone_await(%generation, %current, %asleep) : (!llvm.ptr, i32, !llvm.ptr) -> ()
    }
  }
  return
}

// The end of a run. The caller waits until every worker has left the driver: the code may be gone as soon as the
// call returns. Workers go on.
func.func private @drystone_part(%team: !llvm.ptr, %thread: i32) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %left = llvm.getelementptr %team[0, 8] : (!llvm.ptr) -> !llvm.ptr, !team
  %asleep = llvm.getelementptr %left[1] : (!llvm.ptr) -> !llvm.ptr, i32
  %caller = arith.cmpi eq, %thread, %zero : i32
  scf.if %caller {
    %threads = func.call @drystone_threads(%team) : (!llvm.ptr) -> i32
    %workers = arith.subi %threads, %one : i32
    scf.while : () -> i32 {
      %gone = llvm.load %left atomic acquire {alignment = 4 : i64} : !llvm.ptr -> i32
      %more = arith.cmpi ne, %gone, %workers : i32
      scf.condition(%more) %gone : i32
    } do {
    ^bb0(%gone: i32):
      func.call @drystone_await(%left, %gone, %asleep) : (!llvm.ptr, i32, !llvm.ptr) -> ()
      scf.yield
    }
  }
  return
}

// Claim the next units of a grid, the first of them and the one after the last (the same: nothing is left). Every
// thread has an even part of the grid, the same in every kernel, and goes through it in order, half of what is left
// of it at a time: its cache has what it made before, and what comes next can be asked for. With none left it
// claims half of what another thread has left, from the end, so that a thread that is late or slow (its core has
// other work) leaves the rest to the others, and all end within one unit (Markatos and LeBlanc, "Using Processor
// Affinity in Loop Scheduling on Shared-Memory Multiprocessors", IEEE TPDS 5(4), 1994). A thread alone takes all.
func.func private @drystone_claim(%team: !llvm.ptr, %thread: i32, %units: index)
    -> (index, index) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %n = call @drystone_threads(%team) : (!llvm.ptr) -> i32
  %threads = arith.index_cast %n : i32 to index
  %self = arith.index_cast %thread : i32 to index
  %generation = llvm.getelementptr %team[0, 9] : (!llvm.ptr) -> !llvm.ptr, !team
  // It cannot move before this thread arrives at the next barrier.
  %current = llvm.load %generation atomic monotonic {alignment = 4 : i64} : !llvm.ptr -> i32
  %claimed:3 = scf.while (%i = %zero, %b = %zero, %e = %zero) : (index, index, index) -> (index, index, index) {
    %none = arith.cmpi eq, %b, %e : index
    %more = arith.cmpi ult, %i, %threads : index
    %go = arith.andi %none, %more : i1
    scf.condition(%go) %i, %b, %e : index, index, index
  } do {
  ^bb0(%i: index, %b: index, %e: index):
    %turned = arith.addi %self, %i : index
    %whose = arith.remui %turned, %threads : index
    %next = arith.addi %i, %one : index
    %begin, %end = func.call @drystone_claim_from(%team, %whose, %threads, %units, %current, %i)
      : (!llvm.ptr, index, index, index, i32, index) -> (index, index)
    scf.yield %next, %begin, %end : index, index, index
  }
  return %claimed#1, %claimed#2 : index, index
}

// Claim units of the part of a thread: from its front, where that is the thread itself (%turn is 0).
func.func private @drystone_claim_from(
    %team: !llvm.ptr, %whose: index, %threads: index, %units: index, %generation: i32, %turn: index)
    -> (index, index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %true = arith.constant true
  %low = arith.constant 4294967295 : i64
  %high = arith.constant 32 : i64
  %owner = arith.index_cast %whose : index to i32
  %claims = call @drystone_claims(%team, %owner, %generation) : (!llvm.ptr, i32, i32) -> !llvm.ptr
  %after = arith.addi %whose, %one : index
  %before_all = arith.muli %whose, %units : index
  %after_all = arith.muli %after, %units : index
  %first = arith.divui %before_all, %threads : index
  %last = arith.divui %after_all, %threads : index
  %size = arith.subi %last, %first : index
  %own = arith.cmpi eq, %turn, %zero : index
  %alone = arith.cmpi eq, %threads, %one : index
  %claimed:2 = scf.while : () -> (index, index) {
    %word = llvm.load %claims atomic monotonic {alignment = 8 : i64} : !llvm.ptr -> i64
    %front64 = arith.andi %word, %low : i64
    %back64 = arith.shrui %word, %high : i64
    %front = arith.index_cast %front64 : i64 to index
    %back = arith.index_cast %back64 : i64 to index
    %rest = arith.subi %size, %front : index
    %left = arith.subi %rest, %back : index
    %some = arith.cmpi ne, %left, %zero : index
    %down = arith.shrui %left, %one : index
    %least = arith.minui %left, %one : index
    %half = arith.maxui %down, %least : index
    %count = arith.select %alone, %left, %half : index
    %from_front = arith.addi %first, %front : index
    %until = arith.subi %last, %back : index
    %from_back = arith.subi %until, %count : index
    %begin = arith.select %own, %from_front, %from_back : index
    %end = arith.addi %begin, %count : index
    %again = scf.if %some -> i1 {
      %count64 = arith.index_cast %count : index to i64
      %lifted = arith.shli %count64, %high : i64
      %more = arith.select %own, %count64, %lifted : i64
      %new = arith.addi %word, %more : i64
      %swapped = llvm.cmpxchg %claims, %word, %new monotonic monotonic : !llvm.ptr, i64
      %done = llvm.extractvalue %swapped[1] : !llvm.struct<(i64, i1)>
      %failed = arith.xori %done, %true : i1
      scf.yield %failed : i1
    } else {
      scf.yield %some : i1
    }
    scf.condition(%again) %begin, %end : index, index
  } do {
  ^bb0(%begin: index, %end: index):
    scf.yield
  }
  return %claimed#0, %claimed#1 : index, index
}

// Keep the status of a kernel whose check failed, for the end of the run.
func.func private @drystone_fail(%team: !llvm.ptr, %status: i32) {
  %at = llvm.getelementptr %team[0, 1] : (!llvm.ptr) -> !llvm.ptr, !team
  llvm.store %status, %at atomic monotonic {alignment = 4 : i64} : i32, !llvm.ptr
  return
}

// The first status any thread kept in this run, or 0; to be asked after a barrier.
func.func private @drystone_status(%team: !llvm.ptr) -> i32 {
  %at = llvm.getelementptr %team[0, 1] : (!llvm.ptr) -> !llvm.ptr, !team
  %status = llvm.load %at atomic monotonic {alignment = 4 : i64} : !llvm.ptr -> i32
  return %status : i32
}

// Thread 0 writes the time in ns into slot `slot` of the profile, where the call has one.
func.func private @drystone_stamp(%call: !llvm.ptr, %thread: i32, %slot: i64) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %giga = arith.constant 1000000000 : i64
  %none = llvm.mlir.zero : !llvm.ptr
  %field = llvm.getelementptr %call[0, 6] : (!llvm.ptr) -> !llvm.ptr, !call
  %profile = llvm.load %field : !llvm.ptr -> !llvm.ptr
  %wanted = llvm.icmp "ne" %profile, %none : !llvm.ptr
  %first = arith.cmpi eq, %thread, %zero : i32
  %both = arith.andi %wanted, %first : i1
  scf.if %both {
    %clock = llvm.alloca %one x !llvm.array<2 x i64> : (i32) -> !llvm.ptr
    %r = llvm.call @clock_gettime(%one, %clock) : (i32, !llvm.ptr) -> i32
    %seconds = llvm.load %clock : !llvm.ptr -> i64
    %rest = llvm.getelementptr %clock[1] : (!llvm.ptr) -> !llvm.ptr, i64
    %ns = llvm.load %rest : !llvm.ptr -> i64
    %scaled = arith.muli %seconds, %giga : i64
    %time = arith.addi %scaled, %ns : i64
    %at = llvm.getelementptr %profile[%slot] : (!llvm.ptr, i64) -> !llvm.ptr, i64
    llvm.store %time, %at : i64, !llvm.ptr
  }
  return
}

// The first stamp of a run, for a thread that is alone; where there are others it is taken before they wake,
// for they may be through the first kernel before this thread goes on.
func.func private @drystone_stamp_alone(%call: !llvm.ptr, %team: !llvm.ptr, %thread: i32) {
  %one = arith.constant 1 : i32
  %slot = arith.constant 0 : i64
  %threads = call @drystone_threads(%team) : (!llvm.ptr) -> i32
  %alone = arith.cmpi eq, %threads, %one : i32
  scf.if %alone {
    func.call @drystone_stamp(%call, %thread, %slot) : (!llvm.ptr, i32, i64) -> ()
  }
  return
}

// ---- copies between memory levels ----------------------------------------------------------------------

// Copy within the arena: each thread of the team a part, in whole cache lines.
func.func private @drystone_copy_shared(
    %arena: !llvm.ptr, %source: index, %target: index, %bytes: index, %team: !llvm.ptr, %thread: i32) {
  %line = arith.constant 64 : index
  %n = call @drystone_threads(%team) : (!llvm.ptr) -> i32
  %threads = arith.index_cast %n : i32 to index
  %number = arith.index_cast %thread : i32 to index
  %lines = arith.ceildivui %bytes, %line : index
  %share = arith.ceildivui %lines, %threads : index
  %part = arith.muli %share, %line : index
  %first = arith.muli %number, %part : index
  %begin = arith.minui %first, %bytes : index
  %last = arith.addi %begin, %part : index
  %end = arith.minui %last, %bytes : index
  %count = arith.subi %end, %begin : index
  %from = arith.addi %source, %begin : index
  %to = arith.addi %target, %begin : index
  call @drystone_copy(%arena, %from, %to, %count) : (!llvm.ptr, index, index, index) -> ()
  return
}

// Copy within the arena: thread 0 does all of it.
func.func private @drystone_copy_alone(
    %arena: !llvm.ptr, %source: index, %target: index, %bytes: index, %team: !llvm.ptr, %thread: i32) {
  %zero = arith.constant 0 : i32
  %first = arith.cmpi eq, %thread, %zero : i32
  scf.if %first {
    func.call @drystone_copy(%arena, %source, %target, %bytes) : (!llvm.ptr, index, index, index) -> ()
  }
  return
}

func.func private @drystone_copy(%arena: !llvm.ptr, %source: index, %target: index, %bytes: index) {
  %from = arith.index_cast %source : index to i64
  %to = arith.index_cast %target : index to i64
  %count = arith.index_cast %bytes : index to i64
  %old = llvm.getelementptr %arena[%from] : (!llvm.ptr, i64) -> !llvm.ptr, i8
  %new = llvm.getelementptr %arena[%to] : (!llvm.ptr, i64) -> !llvm.ptr, i8
  "llvm.intr.memcpy"(%new, %old, %count) <{isVolatile = false}> : (!llvm.ptr, !llvm.ptr, i64) -> ()
  return
}

// ---- weights that come and go --------------------------------------------------------------------------

// Thread 0 says where the call wants to know it that this step is about to run.
func.func private @drystone_progress(%call: !llvm.ptr, %thread: i32, %step: i64) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i32
  %none = llvm.mlir.zero : !llvm.ptr
  %field = llvm.getelementptr %call[0, 8] : (!llvm.ptr) -> !llvm.ptr, !call
  %progress = llvm.load %field : !llvm.ptr -> !llvm.ptr
  %wanted = llvm.icmp "ne" %progress, %none : !llvm.ptr
  %first = arith.cmpi eq, %thread, %zero : i32
  %both = arith.andi %wanted, %first : i1
  scf.if %both {
    llvm.store %step, %progress atomic monotonic {alignment = 8 : i64} : i64, !llvm.ptr
  }
  return
}

// Thread 0 gives back the pages of a weight, if it is part of a mapped file: they can be read again from there
// (MADV_DONTNEED). Pages are those of 4096 bytes; on systems with larger ones nothing happens.
func.func private @drystone_drop(%call: !llvm.ptr, %thread: i32, %weight: i64, %bytes: i64) attributes {llvm.no_inline} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i64
  %past = arith.constant 4095 : i64
  %mask = arith.constant -4096 : i64
  %dont_need = arith.constant 4 : i32
  %field = llvm.getelementptr %call[0, 9] : (!llvm.ptr) -> !llvm.ptr, !call
  %mapped = llvm.load %field : !llvm.ptr -> i64
  %wanted = arith.cmpi eq, %mapped, %one : i64
  %first = arith.cmpi eq, %thread, %zero : i32
  %both = arith.andi %wanted, %first : i1
  scf.if %both {
    %table_at = llvm.getelementptr %call[0, 0] : (!llvm.ptr) -> !llvm.ptr, !call
    %table = llvm.load %table_at : !llvm.ptr -> !llvm.ptr
    %at = llvm.getelementptr %table[%weight] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.ptr
    %base = llvm.load %at : !llvm.ptr -> !llvm.ptr
    %low = llvm.ptrtoint %base : !llvm.ptr to i64
    %start = arith.andi %low, %mask : i64
    %high = arith.addi %low, %bytes : i64
    %last = arith.addi %high, %past : i64
    %end = arith.andi %last, %mask : i64
    %length = arith.subi %end, %start : i64
    %page = llvm.inttoptr %start : i64 to !llvm.ptr
    %r = llvm.call @madvise(%page, %length, %dont_need) : (!llvm.ptr, i64, i32) -> i32
  }
  return
}

// ---- memory --------------------------------------------------------------------------------------------

// The memory at `base` as bytes, to be viewed as tensors.
func.func private @drystone_bytes(%base: !llvm.ptr) -> memref<?xi8> {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %most = arith.constant 9223372036854775807 : i64
  %d0 = llvm.mlir.poison : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
  %d1 = llvm.insertvalue %base, %d0[0] : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
  %d2 = llvm.insertvalue %base, %d1[1] : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
  %d3 = llvm.insertvalue %zero, %d2[2] : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
  %d4 = llvm.insertvalue %most, %d3[3, 0] : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
  %d5 = llvm.insertvalue %one, %d4[4, 0] : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
  %bytes = builtin.unrealized_conversion_cast %d5
    : !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)> to memref<?xi8>
  return %bytes : memref<?xi8>
}

// Entry `slot` of a table of pointers, as bytes.
func.func private @drystone_entry(%table: !llvm.ptr, %slot: i64) -> memref<?xi8> {
  %at = llvm.getelementptr %table[%slot] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.ptr
  %base = llvm.load %at : !llvm.ptr -> !llvm.ptr
  %bytes = call @drystone_bytes(%base) : (!llvm.ptr) -> memref<?xi8>
  return %bytes : memref<?xi8>
}

// ---- the C functions -----------------------------------------------------------------------------------

// A worker: wait for a run (or the end), take part in it, again.
llvm.func internal @drystone_worker(%member: !llvm.ptr) -> !llvm.ptr {
  %team_at = llvm.getelementptr %member[0, 0] : (!llvm.ptr) -> !llvm.ptr, !member
  %number_at = llvm.getelementptr %member[0, 1] : (!llvm.ptr) -> !llvm.ptr, !member
  %team = llvm.load %team_at : !llvm.ptr -> !llvm.ptr
  %number = llvm.load %number_at : !llvm.ptr -> i64
  %none = func.call @drystone_serve(%team, %number) : (!llvm.ptr, i64) -> !llvm.ptr
  llvm.return %none : !llvm.ptr
}

func.func private @drystone_serve(%team: !llvm.ptr, %number: i64) -> !llvm.ptr {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %none = llvm.mlir.zero : !llvm.ptr
  %thread = arith.trunci %number : i64 to i32
  %epoch = llvm.getelementptr %team[0, 4] : (!llvm.ptr) -> !llvm.ptr, !team
  %idle = llvm.getelementptr %team[0, 5] : (!llvm.ptr) -> !llvm.ptr, !team
  %stop = llvm.getelementptr %team[0, 13] : (!llvm.ptr) -> !llvm.ptr, !team
  %number_of = arith.constant 1023 : i32
  %pinned_at = llvm.getelementptr %team[0, 16] : (!llvm.ptr) -> !llvm.ptr, !team
  %driver_at = llvm.getelementptr %team[0, 14] : (!llvm.ptr) -> !llvm.ptr, !team
  %pinned = llvm.load %pinned_at : !llvm.ptr -> i32
  %pin = arith.cmpi ne, %pinned, %zero : i32
  scf.if %pin {
    func.call @drystone_pin(%thread) : (i32) -> ()
  }
  // A run ends when all that take part in it have left its driver: who takes part sees every epoch, others may
  // miss some.
  %seen = scf.while (%old = %zero) : (i32) -> i32 {
    func.call @drystone_await(%epoch, %old, %idle) : (!llvm.ptr, i32, !llvm.ptr) -> ()
    %stopping = llvm.load %stop atomic acquire {alignment = 4 : i64} : !llvm.ptr -> i32
    %go = arith.cmpi eq, %stopping, %zero : i32
    %new = llvm.load %epoch atomic acquire {alignment = 4 : i64} : !llvm.ptr -> i32
    scf.condition(%go) %new : i32
  } do {
  ^bb0(%new: i32):
    %threads = arith.andi %new, %number_of : i32
    %part = arith.cmpi slt, %thread, %threads : i32
    scf.if %part {
      %call = llvm.load %team : !llvm.ptr -> !llvm.ptr
      %driver = llvm.load %driver_at : !llvm.ptr -> !llvm.ptr
      %status = llvm.call %driver(%call, %team, %thread) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, i32) -> i32
      %left = llvm.getelementptr %team[0, 8] : (!llvm.ptr) -> !llvm.ptr, !team
      %asleep = llvm.getelementptr %left[1] : (!llvm.ptr) -> !llvm.ptr, i32
      func.call @drystone_advance(%left, %asleep) : (!llvm.ptr, !llvm.ptr) -> ()
    }
    scf.yield %new : i32
  }
  return %none : !llvm.ptr
}

// This model's driver, as workers of any pool call it.
llvm.func internal @drystone_enter(%call: !llvm.ptr, %team: !llvm.ptr, %thread: i32) -> i32 {
  %status = func.call @drystone_driver(%call, %team, %thread) : (!llvm.ptr, !llvm.ptr, i32) -> i32
  llvm.return %status : i32
}

// A pool of `threads` threads, the caller of drystone_run counted; of fewer where the system gives no more.
// pinned: not 0 where each thread is to stay on a core of its own, the caller's while it runs.
llvm.func @drystone_pool_create(%wanted: i32, %pinned: i32) -> !llvm.ptr {
  %team = func.call @drystone_create(%wanted, %pinned) : (i32, i32) -> !llvm.ptr
  llvm.return %team : !llvm.ptr
}

func.func private @drystone_create(%wanted: i32, %pinned: i32) -> !llvm.ptr {
  %largest = arith.constant 1023 : i32
  %zero = arith.constant 0 : i8
  %one = arith.constant 1 : i32
  %one64 = arith.constant 1 : i64
  %null = llvm.mlir.zero : !llvm.ptr
  %end = llvm.getelementptr %null[1] : (!llvm.ptr) -> !llvm.ptr, !team
  %head = llvm.ptrtoint %end : !llvm.ptr to i64
  %member_end = llvm.getelementptr %null[1] : (!llvm.ptr) -> !llvm.ptr, !member
  %member_size = llvm.ptrtoint %member_end : !llvm.ptr to i64
  %least = arith.maxsi %wanted, %one : i32
  %some = arith.minsi %least, %largest : i32
  %count = arith.extsi %some : i32 to i64
  %tail = arith.muli %count, %member_size : i64
  %size = arith.addi %head, %tail : i64
  %team = llvm.call @malloc(%size) : (i64) -> !llvm.ptr
  %failed = llvm.icmp "eq" %team, %null : !llvm.ptr
  scf.if %failed {
  } else {
    "llvm.intr.memset"(%team, %zero, %size) <{isVolatile = false}> : (!llvm.ptr, i8, i64) -> ()
    %threads = llvm.getelementptr %team[0, 15] : (!llvm.ptr) -> !llvm.ptr, !team
    %pinned_at = llvm.getelementptr %team[0, 16] : (!llvm.ptr) -> !llvm.ptr, !team
    llvm.store %pinned, %pinned_at : i32, !llvm.ptr
    %members = llvm.getelementptr %team[1] : (!llvm.ptr) -> !llvm.ptr, !team
    %worker = llvm.mlir.addressof @drystone_worker : !llvm.ptr
    // Workers wait for the first run, so the number of threads may be set after they start.
    %started = scf.while (%number = %one64) : (i64) -> i64 {
      %more = arith.cmpi slt, %number, %count : i64
      %ok = scf.if %more -> i1 {
        %member = llvm.getelementptr %members[%number] : (!llvm.ptr, i64) -> !llvm.ptr, !member
        %number_at = llvm.getelementptr %member[0, 1] : (!llvm.ptr) -> !llvm.ptr, !member
        %handle = llvm.getelementptr %member[0, 2] : (!llvm.ptr) -> !llvm.ptr, !member
        llvm.store %team, %member : !llvm.ptr, !llvm.ptr
        llvm.store %number, %number_at : i64, !llvm.ptr
        %error = llvm.call @pthread_create(%handle, %null, %worker, %member)
          : (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr) -> i32
        %none = arith.constant 0 : i32
        %made = arith.cmpi eq, %error, %none : i32
        scf.yield %made : i1
      } else {
        scf.yield %more : i1
      }
      scf.condition(%ok) %number : i64
    } do {
    ^bb0(%number: i64):
      %following = arith.addi %number, %one64 : i64
      scf.yield %following : i64
    }
    %n = arith.trunci %started : i64 to i32
    llvm.store %n, %threads : i32, !llvm.ptr
  }
  return %team : !llvm.ptr
}

// End a pool's threads and free it. No run may be under way.
llvm.func @drystone_pool_destroy(%team: !llvm.ptr) {
  func.call @drystone_destroy(%team) : (!llvm.ptr) -> ()
  llvm.return
}

func.func private @drystone_destroy(%team: !llvm.ptr) {
  %one = arith.constant 1 : i32
  %null = llvm.mlir.zero : !llvm.ptr
  %exists = llvm.icmp "ne" %team, %null : !llvm.ptr
  scf.if %exists {
    %epoch = llvm.getelementptr %team[0, 4] : (!llvm.ptr) -> !llvm.ptr, !team
    %idle = llvm.getelementptr %team[0, 5] : (!llvm.ptr) -> !llvm.ptr, !team
    %stop = llvm.getelementptr %team[0, 13] : (!llvm.ptr) -> !llvm.ptr, !team
    llvm.store %one, %stop atomic release {alignment = 4 : i64} : i32, !llvm.ptr
    func.call @drystone_advance(%epoch, %idle) : (!llvm.ptr, !llvm.ptr) -> ()
    %size_at = llvm.getelementptr %team[0, 15] : (!llvm.ptr) -> !llvm.ptr, !team
    %threads = llvm.load %size_at : !llvm.ptr -> i32
    %members = llvm.getelementptr %team[1] : (!llvm.ptr) -> !llvm.ptr, !team
    scf.for %number = %one to %threads step %one : i32 {
      %member = llvm.getelementptr %members[%number] : (!llvm.ptr, i32) -> !llvm.ptr, !member
      %handle_at = llvm.getelementptr %member[0, 2] : (!llvm.ptr) -> !llvm.ptr, !member
      %handle = llvm.load %handle_at : !llvm.ptr -> i64
      %error = llvm.call @pthread_join(%handle, %null) : (i64, !llvm.ptr) -> i32
    }
    llvm.call @free(%team) : (!llvm.ptr) -> ()
  }
  return
}

// Run the model on the calling thread alone.
func.func private @drystone_alone(%call: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %zero64 = arith.constant 0 : i64
  %team = llvm.alloca %one x !single : (i32) -> !llvm.ptr
  %status = llvm.getelementptr %team[0, 1] : (!llvm.ptr) -> !llvm.ptr, !team
  %threads = llvm.getelementptr %team[0, 2] : (!llvm.ptr) -> !llvm.ptr, !team
  %left = llvm.getelementptr %team[0, 8] : (!llvm.ptr) -> !llvm.ptr, !team
  %generation = llvm.getelementptr %team[0, 9] : (!llvm.ptr) -> !llvm.ptr, !team
  %claims = call @drystone_claims(%team, %zero, %zero) : (!llvm.ptr, i32, i32) -> !llvm.ptr
  llvm.store %zero, %status : i32, !llvm.ptr
  llvm.store %one, %threads : i32, !llvm.ptr
  llvm.store %zero, %generation : i32, !llvm.ptr
  llvm.store %zero, %left : i32, !llvm.ptr
  llvm.store %zero64, %claims : i64, !llvm.ptr
  %result = call @drystone_driver(%call, %team, %zero) : (!llvm.ptr, !llvm.ptr, i32) -> i32
  return %result : i32
}

// Run the model: 0, or 1 + the number of the assertion that failed. Without a pool, with a pool that another
// call is using, or where no kernel is worth sharing: on the calling thread alone.
llvm.func @drystone_run(%team: !llvm.ptr, %call: !llvm.ptr) -> i32 {
  %status = func.call @drystone_run_in(%team, %call) : (!llvm.ptr, !llvm.ptr) -> i32
  llvm.return %status : i32
}

// How many threads of a team a call is to have: all, or as many as it says.
func.func private @drystone_wanted(%team: !llvm.ptr, %call: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i64
  %size_at = llvm.getelementptr %team[0, 15] : (!llvm.ptr) -> !llvm.ptr, !team
  %asked_at = llvm.getelementptr %call[0, 7] : (!llvm.ptr) -> !llvm.ptr, !call
  %size = llvm.load %size_at : !llvm.ptr -> i32
  %asked = llvm.load %asked_at : !llvm.ptr -> i64
  %all = arith.extsi %size : i32 to i64
  %any = arith.cmpi sle, %asked, %zero : i64
  %fewer = arith.minsi %asked, %all : i64
  %number = arith.select %any, %all, %fewer : i64
  %threads = arith.trunci %number : i64 to i32
  return %threads : i32
}

// Clear what is claimed of the parts of so many threads: of one that was not in the run before it is old.
func.func private @drystone_clear(%team: !llvm.ptr, %threads: i32) {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %none = arith.constant 0 : i64
  scf.for %thread = %zero to %threads step %one : i32 {
    %even = func.call @drystone_claims(%team, %thread, %zero) : (!llvm.ptr, i32, i32) -> !llvm.ptr
    %odd = func.call @drystone_claims(%team, %thread, %one) : (!llvm.ptr, i32, i32) -> !llvm.ptr
    llvm.store %none, %even : i64, !llvm.ptr
    llvm.store %none, %odd : i64, !llvm.ptr
  }
  return
}

// Have this model run by the first `threads` threads of a team that is ours.
func.func private @drystone_run_together(%team: !llvm.ptr, %call: !llvm.ptr, %threads: i32) -> i32 {
  %zero = arith.constant 0 : i32
  %slot = arith.constant 0 : i64
  %step = arith.constant 1024 : i32
  %runs = arith.constant -1024 : i32
  %status_at = llvm.getelementptr %team[0, 1] : (!llvm.ptr) -> !llvm.ptr, !team
  %threads_at = llvm.getelementptr %team[0, 2] : (!llvm.ptr) -> !llvm.ptr, !team
  %epoch = llvm.getelementptr %team[0, 4] : (!llvm.ptr) -> !llvm.ptr, !team
  %idle = llvm.getelementptr %team[0, 5] : (!llvm.ptr) -> !llvm.ptr, !team
  %left = llvm.getelementptr %team[0, 8] : (!llvm.ptr) -> !llvm.ptr, !team
  %driver_at = llvm.getelementptr %team[0, 14] : (!llvm.ptr) -> !llvm.ptr, !team
  %driver = llvm.mlir.addressof @drystone_enter : !llvm.ptr
  llvm.store %call, %team : !llvm.ptr, !llvm.ptr
  llvm.store %threads, %threads_at : i32, !llvm.ptr
  llvm.store %driver, %driver_at : !llvm.ptr, !llvm.ptr
  llvm.store %zero, %left : i32, !llvm.ptr
  call @drystone_clear(%team, %threads) : (!llvm.ptr, i32) -> ()
  llvm.store %zero, %status_at atomic monotonic {alignment = 4 : i64} : i32, !llvm.ptr
  call @drystone_stamp(%call, %zero, %slot) : (!llvm.ptr, i32, i64) -> ()
  %old = llvm.load %epoch atomic monotonic {alignment = 4 : i64} : !llvm.ptr -> i32
  %before = arith.andi %old, %runs : i32
  %after = arith.addi %before, %step : i32
  %new = arith.ori %after, %threads : i32
  %was = llvm.atomicrmw xchg %epoch, %new seq_cst : !llvm.ptr, i32
  call @drystone_rouse(%epoch, %idle) : (!llvm.ptr, !llvm.ptr) -> ()
  %status = call @drystone_driver(%call, %team, %zero) : (!llvm.ptr, !llvm.ptr, i32) -> i32
  return %status : i32
}

// The same, with the calling thread on the team's first core meanwhile.
func.func private @drystone_run_pinned(%team: !llvm.ptr, %call: !llvm.ptr, %threads: i32) -> i32 {
  %self = arith.constant 0 : i32
  %cells = arith.constant 16 : i64
  %bytes = arith.constant 128 : i64
  %mask = llvm.alloca %cells x i64 : (i64) -> !llvm.ptr
  %error = llvm.call @sched_getaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
  call @drystone_pin(%self) : (i32) -> ()
  %status = call @drystone_run_together(%team, %call, %threads) : (!llvm.ptr, !llvm.ptr, i32) -> i32
  %told = arith.cmpi eq, %error, %self : i32
  scf.if %told {
    %restored = llvm.call @sched_setaffinity(%self, %bytes, %mask) : (i32, i64, !llvm.ptr) -> i32
  }
  return %status : i32
}

func.func private @drystone_run_in(%team: !llvm.ptr, %call: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %null = llvm.mlir.zero : !llvm.ptr
  %exists = llvm.icmp "ne" %team, %null : !llvm.ptr
  call @drystone_prepare() : () -> ()
  %worth = call @drystone_shared() : () -> i1
  %useful = arith.andi %exists, %worth : i1
  %threads = scf.if %useful -> i32 {
    %wanted = func.call @drystone_wanted(%team, %call) : (!llvm.ptr, !llvm.ptr) -> i32
    scf.yield %wanted : i32
  } else {
    scf.yield %one : i32
  }
  %several = arith.cmpi sgt, %threads, %one : i32
  %busy = llvm.getelementptr %team[0, 12] : (!llvm.ptr) -> !llvm.ptr, !team
  %ours = scf.if %several -> i1 {
    %pair = llvm.cmpxchg %busy, %zero, %one seq_cst monotonic {alignment = 4 : i64} : !llvm.ptr, i32
    %won = llvm.extractvalue %pair[1] : !llvm.struct<(i32, i1)>
    scf.yield %won : i1
  } else {
    scf.yield %several : i1
  }
  %result = scf.if %ours -> i32 {
    %pinned_at = llvm.getelementptr %team[0, 16] : (!llvm.ptr) -> !llvm.ptr, !team
    %pinned = llvm.load %pinned_at : !llvm.ptr -> i32
    %pin = arith.cmpi ne, %pinned, %zero : i32
    %status = scf.if %pin -> i32 {
      %s = func.call @drystone_run_pinned(%team, %call, %threads) : (!llvm.ptr, !llvm.ptr, i32) -> i32
      scf.yield %s : i32
    } else {
      %s = func.call @drystone_run_together(%team, %call, %threads) : (!llvm.ptr, !llvm.ptr, i32) -> i32
      scf.yield %s : i32
    }
    llvm.store %zero, %busy atomic release {alignment = 4 : i64} : i32, !llvm.ptr
    scf.yield %status : i32
  } else {
    %status = func.call @drystone_alone(%call) : (!llvm.ptr) -> i32
    scf.yield %status : i32
  }
  return %result : i32
}

// The addresses of the three functions, for who holds this code without a symbol table.
llvm.func @drystone_entry_points(%out: !llvm.ptr) {
  %create = llvm.mlir.addressof @drystone_pool_create : !llvm.ptr
  %destroy = llvm.mlir.addressof @drystone_pool_destroy : !llvm.ptr
  %run = llvm.mlir.addressof @drystone_run : !llvm.ptr
  %second = llvm.getelementptr %out[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %third = llvm.getelementptr %out[2] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  llvm.store %create, %out : !llvm.ptr, !llvm.ptr
  llvm.store %destroy, %second : !llvm.ptr, !llvm.ptr
  llvm.store %run, %third : !llvm.ptr, !llvm.ptr
  llvm.return
}
