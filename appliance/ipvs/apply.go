package ipvs

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrNotTried tells of an operation that was not sent, or of which nobody knows
// whether it was carried out, because something before it ended the work.
var ErrNotTried = errors.New("not tried")

// Apply carries out every operation, in order, whatever becomes of the others.
// The error joins one *OpError for each that failed, with the operation's
// place in ops. Only when ctx or the socket ends are operations not tried, and
// reported as ErrNotTried.
//
// The operations go to the kernel in batches, as conversation.carryOut says.
func (k *Kernel) Apply(ctx context.Context, ops []Op) error {
	k.table.Lock()
	defer k.table.Unlock()
	var failed []error
	first := 0
	for part := range slices.Chunk(ops, batch) {
		for i, err := range k.applyBatch(ctx, part) {
			if err != nil {
				failed = append(failed, &OpError{Op: part[i], Index: first + i, Err: err})
			}
		}
		first += len(part)
	}
	return errors.Join(failed...)
}

// applyBatch returns what became of each operation; nil if all went well.
func (k *Kernel) applyBatch(ctx context.Context, ops []Op) []error {
	var failed []error // nil, or one for each operation
	fail := func(i int, err error) {
		if failed == nil {
			failed = make([]error, len(ops))
		}
		failed[i] = err
	}
	err := k.talk(ctx, func(c *conversation) error { return c.apply(ctx, ops, fail) })
	if err != nil {
		for i := range ops {
			if failed == nil || failed[i] == nil {
				fail(i, fmt.Errorf("%w: %w", ErrNotTried, err))
			}
		}
	}
	return failed
}

// apply has the kernel carry out the operations of one batch. Its own error
// means that nobody knows which of them it did.
func (c *conversation) apply(ctx context.Context, ops []Op, fail func(i int, err error)) error {
	var sent [batch]int // which operation a message is
	count := 0
	c.out = c.out[:0]
	for i := range ops {
		start := c.begin(ops[i].Kind.command(), 0)
		b, err := ops[i].append(c.out)
		if err != nil {
			fail(i, err)
			c.cancel(start)
			continue
		}
		c.out = b
		c.end(start)
		sent[count] = i
		count++
	}
	if count == 0 {
		return nil
	}
	return c.carryOut(ctx, count, func(number int, why *refusal) { fail(sent[number], why) })
}
