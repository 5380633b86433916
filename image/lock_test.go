package main

import "testing"

// TestLock: the second build says that it waits, and goes on once the first is done.
func TestLock(t *testing.T) {
	first := order{output: t.TempDir(), progress: t.Logf}
	unlock, err := first.lock()
	if err != nil {
		t.Fatal(err)
	}
	waiting, got := make(chan struct{}), make(chan error)
	second := order{output: first.output, progress: func(string, ...any) { close(waiting) }}
	go func() {
		unlock, err := second.lock()
		if err == nil {
			unlock()
		}
		got <- err
	}()
	select {
	case <-waiting:
	case err := <-got:
		t.Fatalf("the second build did not wait: %v", err)
	}
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
