package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dipper/shell/terminal"
	"dipper/shell/terminal/vt"
)

func TestPager(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys []string
		last string // row above the prompt
		quit bool
	}{
		{"page", nil, "line 06", false},
		{"line", []string{enter}, "line 07", false},
		{"second page", []string{" "}, "line 12", false},
		{"to the end", []string{"G"}, "line 30", false},
		{"find", []string{"/", "e 20", enter}, "line 25", false},
		{"quit", []string{"q"}, "line 06", true},
		{"interrupt", []string{ctrlC}, "line 06", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, keys := io.Pipe()
				screen := vt.New(30, 7)
				s := terminal.Open(t.Context(), terminal.Terminal{Width: 30, Height: 7, Type: "xterm"}, in, screen)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				var err error
				done := make(chan struct{})
				go func() {
					defer close(done)
					p := terminal.NewPager(ctx, s)
					for i := range 30 {
						if _, err = io.WriteString(p, fmt.Sprintf("line %02d\n", i+1)); err != nil {
							return
						}
					}
					err = p.Close()
				}()
				synctest.Wait()
				for _, k := range tt.keys {
					_, _ = io.WriteString(keys, k)
					synctest.Wait()
				}
				rows := strings.Split(screen.Screen(), "\n")
				above := rows[max(0, len(rows)-2)]
				if above != tt.last {
					t.Errorf("above the prompt stands %q, want %q:\n%s", above, tt.last, screen.Screen())
				}
				_ = keys.Close()
				cancel()
				<-done
				if tt.quit && !errors.Is(err, terminal.ErrEnough) {
					t.Errorf("got %v, want ErrEnough", err)
				}
			})
		})
	}
}
