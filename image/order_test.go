package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestNewOrderRefuses(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, root, arch, epoch, want string }{
		{"another directory", t.TempDir(), "amd64", "", "run this from the root of the source tree"},
		{"unknown architecture", root, "x86_64", "", `architecture "x86_64" is not supported: use one of amd64, arm64`},
		{"no kernel yet", root, "arm64", "", `kernel: architecture "arm64" is not supported`},
		{"bad epoch", root, "amd64", "today", `SOURCE_DATE_EPOCH "today"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", test.epoch)
			_, err := newOrder(t.Context(), test.root, test.arch, t.TempDir())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant …%s…", err, test.want)
			}
		})
	}
}
