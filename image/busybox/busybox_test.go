package busybox

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dipper/image/gotool"
	"dipper/image/target"
)

func toolFor(t *testing.T, arch string) gotool.Tool {
	t.Helper()
	machine, err := target.ByArch(arch)
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return gotool.Tool{Root: root, Target: machine}
}

// TestCommandsAreTools: go mod tidy drops what a command imports where go.mod does
// not name the command.
func TestCommandsAreTools(t *testing.T) {
	tool := toolFor(t, "amd64")
	output, err := tool.Run(t.Context(), tool.Root, nil, "mod", "edit", "-json")
	if err != nil {
		t.Fatal(err)
	}
	var mod struct{ Tool []struct{ Path string } }
	if err := json.Unmarshal(output, &mod); err != nil {
		t.Fatal(err)
	}
	var tools []string
	for _, tool := range mod.Tool {
		if strings.HasPrefix(tool.Path, module+"/") {
			tools = append(tools, tool.Path)
		}
	}
	slices.Sort(tools)
	if diff := cmp.Diff(importPaths(), tools); diff != "" {
		t.Errorf("add a tool with go get -tool, drop one with go get -tool NAME@none (-busybox +go.mod):\n%s", diff)
	}
}

// TestBuild runs what Build gives. On a new machine it takes a minute, after which
// the busybox is in the same cache that the image is built from.
func TestBuild(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build(t.Context(), Options{
		Tool: toolFor(t, runtime.GOARCH), Cache: filepath.Join(cache, "dipper"), Progress: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("names", func(t *testing.T) {
		if diff := cmp.Diff(built.Commands, answers(t, built.Path)); diff != "" {
			t.Errorf("(-said +answered):\n%s", diff)
		}
	})
	t.Run("link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "echo")
		if err := os.Symlink(built.Path, link); err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command(link, "one", "two").CombinedOutput()
		if err != nil || string(output) != "one two\n" {
			t.Errorf("echo one two: %q, %v", output, err)
		}
	})
	t.Run("modules", func(t *testing.T) {
		i := slices.IndexFunc(built.Modules, func(m gotool.Module) bool { return m.Path == module })
		if i < 0 || !strings.HasPrefix(built.Modules[i].Sum, "h1:") {
			t.Errorf("%s with its hash is not among %v", module, built.Modules)
		}
	})
}

// answers asks the busybox for a command that it does not have, whereupon it lists
// those that it has.
func answers(t *testing.T, path string) []string {
	t.Helper()
	output, err := exec.Command(path, "no-such-command").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("no-such-command: %v\n%s", err, output)
	}
	var names []string
	for line := range strings.Lines(string(output)) {
		if name, ok := strings.CutPrefix(line, " - "); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

func TestKey(t *testing.T) {
	modules := []gotool.Module{{Path: module, Version: "v0.16.0", Sum: "h1:a"}}
	compiler := gotool.Compiler{Version: "go1.26.8", Root: "/usr/lib/go"}
	key := func(arch string, compiler gotool.Compiler, modules []gotool.Module) string {
		t.Helper()
		key, err := Options{Tool: toolFor(t, arch)}.key(t.Context(), compiler, modules)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := key("amd64", compiler, modules)
	if again := key("amd64", gotool.Compiler{Version: "go1.26.8", Root: "/opt/go"}, modules); again != first {
		t.Error("where Go is installed changes the key")
	}
	for name, other := range map[string]string{
		"arch":     key("arm64", compiler, modules),
		"compiler": key("amd64", gotool.Compiler{Version: "go1.26.9"}, modules),
		"modules":  key("amd64", compiler, []gotool.Module{{Path: module, Version: "v0.16.0", Sum: "h1:b"}}),
	} {
		if other == first {
			t.Errorf("%s does not change the key", name)
		}
	}
}

func TestBuildLeavesNothingWhenItFails(t *testing.T) {
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	tool := toolFor(t, "amd64")
	_, err := Build(ctx, Options{Tool: tool, Cache: cache, Progress: func(string, ...any) { cancel() }})
	if err == nil {
		t.Fatal("a build that was ended succeeded")
	}
	left, err := filepath.Glob(filepath.Join(cache, "busybox", "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(cache, "busybox", ".*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left)+len(hidden) > 0 {
		t.Errorf("left in the cache: %v %v", left, hidden)
	}
}
