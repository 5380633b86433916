// Package gotool owns how the go command is run for an image: its environment,
// and what it tells of packages and modules. It knows nothing of what they are
// for.
package gotool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"dipper/image/target"
)

// Tool runs the go command in the module at Root, for Target.
type Tool struct {
	Root   string
	Target target.Target
}

// Module is a module with a version and its hash as in go.sum: h1: and the base64
// of a SHA-256 over its files (golang.org/x/mod/sumdb/dirhash).
type Module struct {
	Path    string
	Version string
	Sum     string
}

// Run runs go with args in dir and gives its standard output. extra is added to
// the environment.
func (t Tool) Run(ctx context.Context, dir string, extra []string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	command.Env = slices.Concat(os.Environ(), t.Target.Environment(), extra)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return output, nil
}

// Compiler is the release and the root of the Go that builds the module, which the
// toolchain line of go.mod may have chosen.
type Compiler struct {
	Version string `json:"GOVERSION"` // go1.26.8
	Root    string `json:"GOROOT"`
}

// Compiler asks which Go builds the module.
func (t Tool) Compiler(ctx context.Context) (Compiler, error) {
	output, err := t.Run(ctx, t.Root, nil, "env", "-json", "GOVERSION", "GOROOT")
	if err != nil {
		return Compiler{}, err
	}
	var compiler Compiler
	if err := json.Unmarshal(output, &compiler); err != nil {
		return Compiler{}, fmt.Errorf("go env: %w", err)
	}
	return compiler, nil
}

// Modules lists the modules that the packages are built from, sorted by path; the
// main module and the standard library are not among them.
func (t Tool) Modules(ctx context.Context, packages ...string) ([]Module, error) {
	output, err := t.Run(ctx, t.Root, nil, append([]string{"list", "-deps", "-json=ImportPath,Module"}, packages...)...)
	if err != nil {
		return nil, err
	}
	modules, err := parseModules(output)
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return modules, nil
}

// Module is one module of the build list.
func (t Tool) Module(ctx context.Context, path string) (Module, error) {
	output, err := t.Run(ctx, t.Root, nil, "list", "-m", "-json=Path,Version,Sum", path)
	if err != nil {
		return Module{}, err
	}
	var module Module
	if err := json.Unmarshal(output, &module); err != nil {
		return Module{}, fmt.Errorf("go list -m %s: %w", path, err)
	}
	return module, nil
}

func parseModules(output []byte) ([]Module, error) {
	type listed struct {
		ImportPath string
		Module     *struct {
			Module
			Main    bool
			Replace *Module
		}
	}
	found := make(map[string]Module)
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		// A replaced module is not what its version says it is, and a manifest
		// would lie.
		if p.Module.Replace != nil {
			return nil, fmt.Errorf("module %s is replaced by %s: an image is built from released modules",
				p.Module.Path, p.Module.Replace.Path)
		}
		found[p.Module.Path] = p.Module.Module
	}
	byPath := func(a, b Module) int { return strings.Compare(a.Path, b.Path) }
	return slices.SortedFunc(maps.Values(found), byPath), nil
}
