package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps other runs out of the output directory until unlock, so that its
// files are of one build. The kernel drops it with the process, whatever ends it.
func (o order) lock() (unlock func(), err error) {
	file, err := os.OpenFile(o.path(".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		o.progress("waiting for another build of the image")
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
	}
	return func() { file.Close() }, nil // closing drops the lock, and nothing was written
}
