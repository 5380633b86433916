package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"dipper/image/archive"
	"dipper/image/busybox"
	"dipper/image/executable"
	"dipper/image/gotool"
	"dipper/image/manifest"
	"dipper/image/rootfs"
	"dipper/image/spdx"
	"dipper/kernel-config/kernel"
)

// build makes all files of the image. The Go part comes first: it fails within a
// minute where it fails, and a new kernel takes twenty.
func (o order) build(ctx context.Context) (manifest.Manifest, error) {
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return manifest.Manifest{}, err
	}
	unlock, err := o.lock()
	if err != nil {
		return manifest.Manifest{}, err
	}
	defer unlock()
	parts, err := o.programs(ctx)
	if err != nil {
		return manifest.Manifest{}, err
	}
	initramfs, err := o.initramfs(ctx, parts)
	if err != nil {
		return manifest.Manifest{}, err
	}
	kernel, err := o.installKernel(ctx)
	if err != nil {
		return manifest.Manifest{}, err
	}
	return o.describe(ctx, parts, initramfs, kernel)
}

// parts are what the initramfs is made of, beside what is always the same.
type parts struct {
	compiler gotool.Compiler
	init     []byte
	linked   []gotool.Module // into init
	busybox  busybox.Busybox
	bb       []byte // the busybox's executable
	commands []byte // the busybox's file system
	packer   string // of commands
}

func (o order) programs(ctx context.Context) (parts, error) {
	compiler, err := o.tool.Compiler(ctx)
	if err != nil {
		return parts{}, err
	}
	init, linked, err := o.executable(ctx)
	if err != nil {
		return parts{}, err
	}
	box, err := busybox.Build(ctx, busybox.Options{Tool: o.tool, Cache: o.cache, Progress: o.progress})
	if err != nil {
		return parts{}, err
	}
	bb, err := os.ReadFile(box.Path)
	if err != nil {
		return parts{}, err
	}
	commands, packer, err := o.commands(ctx, box, bb)
	if err != nil {
		return parts{}, err
	}
	return parts{compiler, init, linked, box, bb, commands, packer}, nil
}

func (o order) executable(ctx context.Context) ([]byte, []gotool.Module, error) {
	path, err := filepath.Abs(o.path(initFile))
	if err != nil {
		return nil, nil, err
	}
	if err := executable.Build(ctx, o.tool, path, o.revision.Version); err != nil {
		return nil, nil, err
	}
	linked, err := executable.Modules(path)
	if err != nil {
		return nil, nil, err
	}
	body, err := os.ReadFile(path)
	return body, linked, err
}

// packed is the initramfs before and after compression.
type packed struct {
	compressor  string
	plain, file []byte
}

// initramfs packs the parts. Compression takes ten seconds, so that a file that
// the last manifest vouches for is kept.
func (o order) initramfs(ctx context.Context, p parts) (packed, error) {
	plain, err := o.tree(p)
	if err != nil {
		return packed{}, err
	}
	compressor, err := archive.Compressor(ctx)
	if err != nil {
		return packed{}, err
	}
	if file, ok := o.kept(compressor, plain); ok {
		return packed{compressor, plain, file}, nil
	}
	o.progress("compressing %s", initramfsFile)
	file, err := archive.Compress(ctx, plain)
	if err != nil {
		return packed{}, err
	}
	return packed{compressor, plain, file}, writeFile(o.path(initramfsFile), file)
}

func (o order) tree(p parts) ([]byte, error) {
	roots, err := certificates()
	if err != nil {
		return nil, err
	}
	nodes, err := rootfs.Tree(rootfs.Contents{
		Init: p.init, Commands: p.busybox.Commands, Programs: p.commands, Certificates: roots,
		Version: o.revision.Version, Commit: o.revision.Commit,
	})
	if err != nil {
		return nil, err
	}
	var plain bytes.Buffer
	if err := archive.Write(&plain, nodes); err != nil {
		return nil, err
	}
	return plain.Bytes(), nil
}

// kept is the initramfs of the last build, where it is the same as this one's
// would be. A manifest that cannot be read vouches for nothing.
func (o order) kept(compressor string, plain []byte) ([]byte, bool) {
	text, err := os.ReadFile(o.path(manifestFile))
	if err != nil {
		return nil, false
	}
	last, err := manifest.Decode(text)
	if err != nil {
		return nil, false
	}
	file, err := os.ReadFile(o.path(initramfsFile))
	if err != nil {
		return nil, false
	}
	return file, last.Holds(initramfsFile, compressor, file, plain)
}

// builtKernel is the kernel and where its source came from.
type builtKernel struct {
	release string
	image   []byte
	source  spdx.KernelSource
}

func (o order) installKernel(ctx context.Context) (builtKernel, error) {
	built, err := kernel.Build(ctx, kernel.Options{
		Arch: o.kernel, Fragments: os.DirFS(filepath.Join(o.tool.Root, "kernel-config")),
		Cache: o.cache, Jobs: runtime.NumCPU(), Progress: o.progress,
	})
	if err != nil {
		return builtKernel{}, fmt.Errorf("kernel: %w", err)
	}
	if err := built.Install(o.path(kernelFile)); err != nil {
		return builtKernel{}, err
	}
	image, err := os.ReadFile(o.path(kernelFile))
	if err != nil {
		return builtKernel{}, err
	}
	source, err := kernel.FindSource(ctx)
	if err != nil {
		return builtKernel{}, err
	}
	return builtKernel{
		release: built.Release,
		image:   image,
		source: spdx.KernelSource{
			Package: strings.TrimSuffix(filepath.Base(source.Tarball), ".tar.xz"),
			Version: source.Version,
		},
	}, nil
}

// writeFile puts a file in place whole or not at all.
func writeFile(path string, contents []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails where the rename was done, as it should
	if _, err := temporary.Write(contents); err != nil {
		return errors.Join(err, temporary.Close())
	}
	if err := errors.Join(temporary.Chmod(0o644), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
