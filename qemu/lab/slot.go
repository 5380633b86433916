package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// slots is how many clusters may run at a time on a host, over all processes:
// more of them only time each other out.
const slots = 2

// slot is the right to run a cluster. The kernel takes it back when this
// process ends.
type slot struct{ file *os.File }

// slotInterval is how often a cluster asks whether it is its turn.
const slotInterval = 200 * time.Millisecond

// slotDir is where all processes of this user look for slots.
func slotDir() (string, error) {
	home, err := os.UserCacheDir()
	return filepath.Join(home, "dipper"), err
}

// takeSlot waits for a slot among those whose files are in dir, and calls waiting
// if it must.
func takeSlot(ctx context.Context, dir string, waiting func()) (*slot, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ticker := time.NewTicker(slotInterval)
	defer ticker.Stop()
	for first := true; ; first = false {
		for i := range slots {
			s, err := trySlot(filepath.Join(dir, fmt.Sprintf("lab-slot-%d", i)))
			if s != nil || err != nil {
				return s, err
			}
		}
		if first {
			waiting()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another cluster to end: %w", ctx.Err())
		}
	}
}

// trySlot returns neither a slot nor an error for one that is taken.
func trySlot(path string) (*slot, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return &slot{file}, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, file.Close()
	}
	return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
}

func (s *slot) release() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}
