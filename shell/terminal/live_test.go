package terminal_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/shell/terminal"
	"dipper/shell/terminal/vt"
)

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		screen, sizes := vt.New(20, 5), make(chan terminal.Size)
		s := terminal.Open(t.Context(), terminal.Terminal{Width: 20, Height: 5, Type: "xterm", Resized: sizes}, in, screen)
		_, _ = io.WriteString(s, "before\n")
		drawn := 0
		done := make(chan error)
		go func() {
			done <- s.Live(t.Context(), 2*time.Second, func(_ context.Context, size terminal.Size) ([]string, error) {
				drawn++
				return []string{strings.Repeat("x", drawn), "width " + strings.Repeat("y", size.Width)}, nil
			})
		}()
		synctest.Wait()
		if got := screen.Screen(); !strings.HasPrefix(got, "x\nwidth yyyyyyyyyyyyy>") {
			t.Errorf("first page:\n%s", got)
		}
		time.Sleep(5 * time.Second) // of the bubble
		synctest.Wait()
		if drawn != 3 {
			t.Errorf("%d pages after 5 s, want 3", drawn)
		}
		sizes <- terminal.Size{Width: 15, Height: 5}
		synctest.Wait()
		if got := screen.Screen(); drawn != 4 || !strings.HasPrefix(got, "xxxx\nwidth yyyyyyyy>") {
			t.Errorf("after the window was made smaller, %d pages:\n%s", drawn, got)
		}
		_, _ = io.WriteString(keys, "q")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := screen.Screen(); got != "before\n_" {
			t.Errorf("afterwards the screen is %q", got)
		}
		_ = keys.Close()
	})
}

// TestAskedDisplay: a display asks when it begins and when space is pressed.
func TestAskedDisplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keys := io.Pipe()
		screen := vt.New(20, 4)
		answers := make(chan string, 8)
		screen.Answers(func(a string) { answers <- a })
		go func() {
			for a := range answers {
				_, _ = io.WriteString(keys, a) // the test ends it
			}
		}()
		s := terminal.Open(t.Context(), terminal.Terminal{Type: "vt220", Asked: true}, in, screen)
		done := make(chan error, 1)
		go func() {
			done <- s.Live(t.Context(), time.Hour, func(_ context.Context, size terminal.Size) ([]string, error) {
				return []string{fmt.Sprintf("%d columns", size.Width)}, nil
			})
		}()
		synctest.Wait()
		if got := screen.Screen(); got != "20 columns" {
			t.Errorf("at first %q", got)
		}
		screen.Resize(40, 10)
		if _, err := io.WriteString(keys, " "); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := screen.Screen(); got != "40 columns" {
			t.Errorf("after space %q", got)
		}
		if _, err := io.WriteString(keys, "q"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = keys.Close()
		close(answers)
	})
}
