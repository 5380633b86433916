package ether

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestCaptures(t *testing.T) {
	dir := t.TempDir()
	var wide, narrow *Capture
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		wide, narrow = capture(t, dir, "lan"), capture(t, dir, "b")
		b.lan.Capture(wide)
		b.ports["b"].Capture(narrow)
		b.introduce()
		b.ports["b"].Impair(ToStation, Impairment{Drop: func([]byte) bool { return true }})
		time.Sleep(1234 * time.Nanosecond)
		b.stations["a"].Send(frame(address("b"), address("a"), "lost"))
		b.hears()
		expectFrames(t, wide, "a> here", "b> here", "a> lost")
		expectFrames(t, narrow, "b< here", "b> here")
		all, err := wide.Frames()
		if err != nil {
			t.Fatal(err)
		}
		if last := all[len(all)-1].Time; !last.Equal(time.Now()) {
			t.Errorf("frame at %v, want %v to the nanosecond", last, time.Now())
		}
	})
	for _, c := range []*Capture{wide, narrow} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	expectFrames(t, wide, "a> here", "b> here", "a> lost") // from the closed file
}

func TestEmptyCapture(t *testing.T) {
	c := capture(t, t.TempDir(), "none")
	expectFrames(t, c)
}

func TestFullDiskEndsACaptureOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		c, err := NewCapture("/dev/full")
		if err != nil {
			t.Skipf("no device to fail on: %v", err)
		}
		b.lan.Capture(c)
		b.stations["a"].Send(frame(broadcast, address("a"), "x"))
		b.expect("b:x")
		if err := c.Flush(); err == nil {
			t.Error("a capture that cannot write says it did")
		}
		b.stations["a"].Send(frame(broadcast, address("a"), "y"))
		b.expect("b:y")
	})
}

func capture(t *testing.T, dir, name string) *Capture {
	t.Helper()
	c, err := NewCapture(filepath.Join(dir, name+".pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expectFrames compares a capture with lines like "a> hello" (a sent) and
// "a< hello" (a got); frames of the same instant in any order.
func expectFrames(t *testing.T, c *Capture, want ...string) {
	t.Helper()
	frames, err := c.Frames()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range frames {
		direction := map[bool]string{true: ">", false: "<"}[f.Sent]
		got = append(got, fmt.Sprintf("%s%s %s", f.Port, direction, f.Data[headerSize:]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("capture has %q, want %q", got, want)
	}
}
