package lab

import (
	"context"
	"errors"
	"strings"
	"time"
)

// silencePatience is how long a kernel may take to its first message. Fourteen
// machines to a processor need some seconds.
const silencePatience = 2 * time.Minute

// Reset pulls a machine's reset line, and returns when its kernel is there.
// One reset of some hundreds under TCG on a busy host left the machine between
// its firmware and the first message for as long as anybody waited: then it is
// pulled again.
func (c *Cluster) Reset(ctx context.Context, name string) error {
	m := c.Machine(name)
	for {
		before := kernels(m.Console())
		if err := m.Reset(ctx); err != nil {
			return err
		}
		if err := awaitKernel(ctx, m.Console(), before); !errors.Is(err, errSilent) {
			return err
		}
	}
}

// errSilent says that no kernel came.
var errSilent = errors.New("the kernel says nothing")

// console is what a machine has said so far.
type console interface{ Output() string }

// kernels counts those that have said something.
func kernels(c console) int { return strings.Count(c.Output(), "] Linux version ") }

// awaitKernel waits for one more than before.
func awaitKernel(ctx context.Context, c console, before int) error {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	silent := time.NewTimer(silencePatience)
	defer silent.Stop()
	for kernels(c) <= before {
		select {
		case <-ticker.C:
		case <-silent.C:
			return errSilent
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
