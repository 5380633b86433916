// Package nice starts processes that stand back from others who want the
// processor. It owns what a thread has to be like for that; it knows nothing of
// what is started.
//
// Linux has a nice value for each thread, which a child inherits of the one that
// forks (sched(7)). Set after the start, it would miss the threads that the
// child has made by then.
package nice

import (
	"runtime"
	"syscall"
)

// While runs fork in a thread of a nice value, 0 to 19; all that fork starts has
// it. 0 is the value that there is. Where the kernel does not allow it, fork runs
// all the same: a child that is not nice is better than none.
func While(value int, fork func() error) error {
	if value != 0 {
		runtime.LockOSThread()
		if restore, err := become(value); err == nil {
			defer restore()
		}
	}
	return fork()
}

// become sets the nice value of the calling thread, which is locked, until
// restore. A thread that cannot be restored stays locked: it ends with its
// goroutine, and serves no others.
func become(value int) (restore func(), err error) {
	const kernelZero = 20 // the system call answers 20 minus the nice value (getpriority(2))
	before, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, value); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		if syscall.Setpriority(syscall.PRIO_PROCESS, 0, kernelZero-before) == nil {
			runtime.UnlockOSThread()
		}
	}, nil
}
