package ether

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCutAndRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b", "c")
		b.ports["b"].Cut()
		b.stations["a"].Send(frame(broadcast, address("a"), "1"))
		b.stations["b"].Send(frame(broadcast, address("b"), "2"))
		b.expect("c:1")
		b.ports["b"].Restore()
		b.stations["a"].Send(frame(broadcast, address("a"), "3"))
		b.stations["b"].Send(frame(broadcast, address("b"), "4"))
		b.expect("a:4 b:3 c:3 c:4")
		if got, want := b.ports["b"].Counters().FromStation.Lost, uint64(1); got != want {
			t.Errorf("lost %d frames from b, want %d", got, want)
		}
	})
}

func TestCutCatchesFramesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["b"].Impair(ToStation, Impairment{Delay: time.Second})
		b.stations["a"].Send(frame(broadcast, address("a"), "late"))
		b.expect("")
		b.ports["b"].Cut()
		time.Sleep(2 * time.Second)
		b.ports["b"].Restore()
		b.expect("")
	})
}

func TestImpairmentIsOneWay(t *testing.T) {
	everything := Impairment{Drop: func([]byte) bool { return true }}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["b"].Impair(ToStation, everything)
		b.stations["a"].Send(frame(broadcast, address("a"), "1"))
		b.stations["b"].Send(frame(broadcast, address("b"), "2"))
		b.expect("a:2")
		b.ports["b"].Impair(ToStation, Impairment{})
		b.ports["b"].Impair(FromStation, everything)
		b.stations["a"].Send(frame(broadcast, address("a"), "3"))
		b.stations["b"].Send(frame(broadcast, address("b"), "4"))
		b.expect("b:3")
	})
}

func TestDropSeesTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["b"].Impair(ToStation, Impairment{Drop: func(f []byte) bool { return bytes.HasSuffix(f, []byte("bad")) }})
		for _, payload := range []string{"good", "bad", "fine"} {
			b.stations["a"].Send(frame(broadcast, address("a"), payload))
		}
		b.expect("b:fine b:good")
	})
}

func TestLossRepeats(t *testing.T) {
	run := func() (heard string) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "a", "b")
			b.ports["b"].Impair(ToStation, Impairment{Loss: 0.5})
			for i := range 40 {
				b.stations["a"].Send(frame(broadcast, address("a"), fmt.Sprint(i)))
			}
			heard = b.hears()
		})
		return heard
	}
	first := run()
	if n := len(strings.Fields(first)); n < 10 || n > 30 {
		t.Errorf("%d of 40 frames came through a wire that loses half", n)
	}
	if second := run(); second != first {
		t.Errorf("a second run lost other frames:\n%s\n%s", first, second)
	}
}

func TestDelayKeepsOrder(t *testing.T) {
	const delay = 50 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		b.ports["a"].Impair(FromStation, Impairment{Delay: delay})
		start := time.Now()
		for _, payload := range []string{"1", "2", "3"} {
			b.stations["a"].Send(frame(broadcast, address("a"), payload))
		}
		for _, want := range []string{"1", "2", "3"} {
			got, err := b.stations["b"].Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if string(got[headerSize:]) != want {
				t.Errorf("heard %q, want %q", got[headerSize:], want)
			}
		}
		if took := time.Since(start); took != delay {
			t.Errorf("three frames took %v, want %v", took, delay)
		}
	})
}

func TestSlowStationHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a", "b")
		deaf := b.lan.Port("deaf")
		deaf.Station(0) // never receives
		const frames = queueLength + 100
		for i := range frames {
			b.stations["a"].Send(frame(broadcast, address("a"), fmt.Sprint(i)))
			if got, want := b.hears(), fmt.Sprintf("b:%d", i); got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		}
		// One is in the wire's hand, queueLength wait.
		if got, want := deaf.Counters().ToStation.Overrun, uint64(frames-queueLength-1); got != want {
			t.Errorf("%d frames overran, want %d", got, want)
		}
	})
}
