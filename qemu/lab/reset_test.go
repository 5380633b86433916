package lab

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// said is a console that says something at a time.
type said struct {
	at   time.Time
	text string
}

func (s said) Output() string {
	const first = "[    0.000000] Linux version 6.12.117-dipper\n"
	if time.Now().Before(s.at) {
		return first
	}
	return first + s.text
}

func TestAwaitKernel(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration
		text  string
		want  error
	}{
		"it boots":             {time.Minute, "Booting from ROM...\n[    0.000000] Linux version 6.12.117-dipper\n", nil},
		"its firmware only":    {time.Minute, "Booting from ROM...\n", errSilent},
		"it takes for ever":    {time.Hour, "[    0.000000] Linux version 6.12.117-dipper\n", errSilent},
		"nobody waits so long": {time.Hour, "", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.text == "" {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, time.Second)
					defer stop()
				}
				if err := awaitKernel(ctx, said{time.Now().Add(tt.after), tt.text}, 1); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
}
