package kernel

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func amd64(t *testing.T) Arch {
	t.Helper()
	arch, err := ForArch("amd64")
	if err != nil {
		t.Fatal(err)
	}
	return arch
}

func TestForArchNamesTheChoice(t *testing.T) {
	if _, err := ForArch("mips"); err == nil || !strings.Contains(err.Error(), "amd64") {
		t.Errorf("got %v, want an error that names amd64", err)
	}
}

func TestKey(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: asks compiler and linker for their versions")
	}
	key := func(version, value string) string {
		t.Helper()
		o := Options{Arch: amd64(t)}
		key, err := o.key(context.Background(), Source{Version: version}, []Option{{"CONFIG_HZ", value, "base.config", 1}})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	same := key("6.12.1-1", "250")
	if got := key("6.12.1-1", "250"); got != same {
		t.Errorf("the same input has the keys %s and %s", same, got)
	}
	if key("6.12.2-1", "250") == same {
		t.Error("another source has the same key")
	}
	if key("6.12.1-1", "1000") == same {
		t.Error("another option has the same key")
	}
}

func TestEnvironmentComesFromHereOnly(t *testing.T) {
	t.Setenv("MAKEFLAGS", "-k")
	t.Setenv("KCFLAGS", "-O0")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	command := amd64(t).make("/source", "/object", "Debian 1", "bzImage")(context.Background())
	for _, variable := range command.Env {
		if strings.HasPrefix(variable, "MAKEFLAGS=") || strings.HasPrefix(variable, "KCFLAGS=") || strings.Contains(variable, "de_DE") {
			t.Errorf("%s reaches make", variable)
		}
	}
}

// someKey is a key as Options.key gives it.
var someKey = strings.Repeat("0a", 32)

// TestStoreAndCached puts a kernel in, and finds it whole.
func TestStoreAndCached(t *testing.T) {
	o := Options{Arch: amd64(t), Cache: t.TempDir()}
	object := t.TempDir()
	for name, text := range map[string]string{
		"arch/x86/boot/bzImage": "image", ".config": "CONFIG_SMP=y\n", "include/config/kernel.release": "6.12.1-dipper\n",
	} {
		write(t, filepath.Join(object, name), text)
	}
	if _, err := o.cached(someKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty cache: got %v, want fs.ErrNotExist", err)
	}
	if err := os.MkdirAll(filepath.Join(o.Cache, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := o.store(object, someKey); err != nil {
		t.Fatal(err)
	}
	kernel, err := o.cached(someKey)
	if err != nil {
		t.Fatal(err)
	}
	if kernel.Release != "6.12.1-dipper" {
		t.Errorf("release %q", kernel.Release)
	}
	for path, want := range map[string]string{kernel.Image: "image", kernel.Config: "CONFIG_SMP=y\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(o.Cache, "kernel", ".store-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestStoreIsAllOrNothing: a build that lacks a file leaves no entry.
func TestStoreIsAllOrNothing(t *testing.T) {
	o := Options{Arch: amd64(t), Cache: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(o.Cache, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	object := t.TempDir()
	write(t, filepath.Join(object, ".config"), "CONFIG_SMP=y\n")
	if err := o.store(object, someKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	entries, err := os.ReadDir(filepath.Join(o.Cache, "kernel"))
	if err != nil || len(entries) > 0 {
		t.Errorf("in the cache: %v, %v", entries, err)
	}
}

// TestLock: the second of two builds waits until the first is done.
func TestLock(t *testing.T) {
	waiting := make(chan struct{})
	o := Options{Arch: amd64(t), Cache: t.TempDir(), Progress: func(string, ...any) { close(waiting) }}
	unlock, err := o.lock()
	if err != nil {
		t.Fatal(err)
	}
	locked := make(chan error, 1)
	go func() {
		second, err := o.lock()
		if err == nil {
			second()
		}
		locked <- err
	}()
	<-waiting
	select {
	case err := <-locked:
		t.Fatalf("locked twice: %v", err)
	default:
	}
	unlock()
	if err := <-locked; err != nil {
		t.Error(err)
	}
}

// TestInstallLeavesTheSameAlone: make would build the image again after a touch.
func TestInstallLeavesTheSameAlone(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	write(t, from, "kernel")
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, changed := range []bool{true, false} {
		if err := install(to, from); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := !info.ModTime().Equal(old); got != changed {
			t.Errorf("written: %t, want %t", got, changed)
		}
		if err := os.Chtimes(to, old, old); err != nil {
			t.Fatal(err)
		}
	}
	write(t, from, "another")
	if err := install(to, from); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "another" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestProgress(t *testing.T) {
	var reports int
	p := &compileProgress{report: func(string, ...any) { reports++ }}
	for range reportEvery {
		for _, chunk := range []string{"  CC  ", "a.o\n"} {
			if n, err := p.Write([]byte(chunk)); n != len(chunk) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	if _, err := p.Write([]byte("error: here\nno line yet")); err != nil {
		t.Fatal(err)
	}
	if reports != 1 {
		t.Errorf("%d reports in %d lines, want 1", reports, reportEvery)
	}
	lines := strings.Split(p.tail(), "\n")
	if len(lines) != tailLines+1 || lines[0] != "  CC  a.o" || lines[tailLines-1] != "error: here" || lines[tailLines] != "no line yet" {
		t.Errorf("tail: %q", lines)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
