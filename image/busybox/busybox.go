// Package busybox owns the second executable of the image: a choice of u-root's
// commands, joined into one by gobusybox, built once and kept in a cache.
//
// It owns the cache below Options.Cache. It does not know where in the image the
// busybox goes.
package busybox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/uio/ulog"

	"dipper/image/gotool"
	"dipper/kernel-config/cache"
)

// recipe counts the changes of this package that change the busybox: raise it,
// and it is built anew everywhere.
const recipe = 1

// gobusybox is the module that joins the commands.
const gobusybox = "github.com/u-root/gobusybox/src"

// Options say how to build. All fields must be set.
type Options struct {
	Tool     gotool.Tool
	Cache    string // directory
	Progress func(format string, args ...any)
}

// Busybox is a built busybox in the cache. Its file is not to be changed.
type Busybox struct {
	Path     string
	Commands []string        // sorted
	Modules  []gotool.Module // what it is built from, sorted by path
}

// Build gives the busybox, from the cache where it is there.
func Build(ctx context.Context, o Options) (Busybox, error) {
	modules, err := o.Tool.Modules(ctx, importPaths()...)
	if err != nil {
		return Busybox{}, fmt.Errorf("busybox: %w", err)
	}
	compiler, err := o.Tool.Compiler(ctx)
	if err != nil {
		return Busybox{}, fmt.Errorf("busybox: %w", err)
	}
	key, err := o.key(ctx, compiler, modules)
	if err != nil {
		return Busybox{}, fmt.Errorf("busybox: %w", err)
	}
	built := Busybox{Path: filepath.Join(o.Cache, "busybox", key), Commands: names(), Modules: modules}
	err = cache.Use(built.Path, time.Now())
	if !errors.Is(err, fs.ErrNotExist) {
		return built, err
	}
	o.Progress("building the busybox of %d commands, about a minute when nothing is built yet", len(commands))
	if err := o.build(ctx, compiler, built.Path); err != nil {
		return Busybox{}, fmt.Errorf("busybox: %w", err)
	}
	return built, nil
}

// key is the hash of everything that decides on the busybox's bytes.
func (o Options) key(ctx context.Context, compiler gotool.Compiler, modules []gotool.Module) (string, error) {
	joiner, err := o.Tool.Module(ctx, gobusybox)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "recipe %d\ngo %s\nenvironment %q\nflags %q\njoined by %v\nmodules %v\ncommands %q\n", recipe,
		compiler.Version, o.Tool.Target.Environment(), buildFlags, joiner, modules, importPaths())
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

// buildFlags leave HTTP/2 out, which wget can do without, and inlining: debugging
// commands need no speed, and the busybox is a tenth smaller without (packed a
// sixth).
var buildFlags = []string{
	"-trimpath", "-buildvcs=false", "-tags=nethttpomithttp2", "-gcflags=all=-l", "-ldflags=-s -w",
}

// build puts the busybox at path, complete, by a rename: runs at the same time
// each build their own, and the last one wins with the same bytes.
func (o Options) build(ctx context.Context, compiler gotool.Compiler, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(path), ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source := filepath.Join(work, "source")
	if err := o.generate(compiler, source); err != nil {
		return err
	}
	output := filepath.Join(work, "bb")
	if err := o.compile(ctx, source, output); err != nil {
		return err
	}
	return os.Rename(output, path)
}

// generate has gobusybox rewrite the commands and copy all that they import to
// source, a GOPATH. Where commands come from is set here completely: gobusybox
// would also look at GBB_PATH and UROOT_SOURCE.
func (o Options) generate(compiler gotool.Compiler, source string) error {
	environment := golang.Default(
		golang.DisableCGO(),
		golang.WithGOOS("linux"),
		golang.WithGOARCH(o.Tool.Target.Arch),
		golang.WithGOROOT(compiler.Root),
		golang.WithGO111MODULE("on"),
		golang.WithWorkingDir(o.Tool.Root),
	)
	return bb.BuildBusybox(ulog.Null, &bb.Opts{
		Env:          environment,
		LookupEnv:    &findpkg.Env{},
		GenSrcDir:    source,
		CommandPaths: importPaths(),
		GenerateOnly: true,
	})
}

// compile builds what generate has written. gobusybox would do that too, but with
// -a, which compiles the standard library each time.
func (o Options) compile(ctx context.Context, source, output string) error {
	args := append([]string{"build"}, buildFlags...)
	args = append(args, "-o", output, ".")
	_, err := o.Tool.Run(ctx, filepath.Join(source, "src/bb.u-root.com/bb"),
		[]string{"GO111MODULE=off", "GOPATH=" + source}, args...)
	return err
}
