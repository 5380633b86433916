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
// The operations go to the kernel in batches, each in one datagram. The kernel
// carries out a datagram in order, before the call that sends it returns; it
// answers every message that it refuses, and the last one in any case: that
// answer proves that all before it were carried out.
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

// apply sends the operations as one datagram and reads what the kernel refuses
// of them, until it answers the last. Its own error means that this answer did
// not come.
func (c *conversation) apply(ctx context.Context, ops []Op, fail func(i int, err error)) error {
	first := c.sequence + 1
	var sent [batch]int // which operation a message is, by its number from first
	last := -1          // where the last message starts
	count := 0
	c.out = c.out[:0]
	for i := range ops {
		start := c.begin(ops[i].Kind.command(), 0)
		attributes, err := ops[i].append(c.out)
		if err != nil {
			fail(i, err)
			c.out = c.out[:start]
			c.sequence--
			continue
		}
		c.out = attributes
		c.end(start)
		sent[count] = i
		last = start
		count++
	}
	if count == 0 {
		return nil
	}
	c.acknowledge(last)
	if err := c.send(ctx); err != nil {
		return err
	}
	for answered := false; !answered; {
		err := c.receive(ctx, func(a answer) error {
			number := a.sequence - first
			if number >= uint32(count) {
				return fmt.Errorf("answer to message %d, expected %d to %d", a.sequence, first, c.sequence)
			}
			refused, err := a.refusal()
			if err == nil && refused != nil {
				fail(sent[number], refused)
			}
			answered = a.sequence == c.sequence
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
