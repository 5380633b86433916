package executable

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dipper/image/gotool"
	"dipper/image/target"
)

// program prints its version.
const program = `package main

import "fmt"

var version = "development"

func main() { fmt.Println(version) }
`

// TestBuild builds a small module of the same shape and runs what comes out.
func TestBuild(t *testing.T) {
	root := t.TempDir()
	for name, body := range map[string]string{"go.mod": "module small\n\ngo 1.26.0\n", "init/main.go": program} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	machine, err := target.ByArch(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "init")
	if err := Build(t.Context(), gotool.Tool{Root: root, Target: machine}, path, "1.2.0-3-g82d193e"); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(path).CombinedOutput()
	if err != nil || string(output) != "1.2.0-3-g82d193e\n" {
		t.Errorf("got %q, %v", output, err)
	}
	modules, err := Modules(path)
	if err != nil || len(modules) != 0 {
		t.Errorf("modules of a program without any: %v, %v", modules, err)
	}
}

// TestVersionVariable: the linker says nothing when the variable is not there.
func TestVersionVariable(t *testing.T) {
	files, err := filepath.Glob("../../init/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of the executable: %v", err)
	}
	found := slices.ContainsFunc(files, func(name string) bool {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		return !strings.HasSuffix(name, "_test.go") && file.Name.Name+"."+variable(file) == versionVariable
	})
	if !found {
		t.Errorf("no variable %s in %v", versionVariable, files)
	}
}

// variable is the file's package-level variable named version, if it has one.
func variable(file *ast.File) string {
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		for _, spec := range general.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.Name == "version" {
					return name.Name
				}
			}
		}
	}
	return ""
}

func TestModulesRefusesWhatIsNoExecutable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Modules(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
