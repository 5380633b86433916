package main

import (
	"context"
	"fmt"
	"strings"

	"dipper/image/gotool"
	"dipper/image/manifest"
	"dipper/image/spdx"
)

// sizeLimit is for kernel and initramfs together, with all drivers.
const sizeLimit = 20 << 20

// describe writes the bill of materials and then the manifest, which holds the
// bill's hash.
func (o order) describe(ctx context.Context, p parts, initramfs packed, kernel builtKernel) (manifest.Manifest, error) {
	roots, err := o.tool.Module(ctx, rootsModule)
	if err != nil {
		return manifest.Manifest{}, err
	}
	m := o.manifest(p, initramfs, kernel)
	bill, err := spdx.Encode(o.materials(m, p, roots))
	if err != nil {
		return manifest.Manifest{}, err
	}
	m.Artefacts = append(m.Artefacts, manifest.Describe(billFile, bill))
	if err := writeFile(o.path(billFile), bill); err != nil {
		return manifest.Manifest{}, err
	}
	text, err := m.Encode()
	if err != nil {
		return manifest.Manifest{}, err
	}
	return m, writeFile(o.path(manifestFile), text)
}

func (o order) manifest(p parts, initramfs packed, kernel builtKernel) manifest.Manifest {
	return manifest.Manifest{
		Version: o.revision.Version,
		Arch:    o.tool.Target.Arch,
		Source:  manifest.Source{Commit: o.revision.Commit, Dirty: o.revision.Dirty, Time: o.revision.Time},
		Kernel: manifest.Kernel{
			Release: kernel.release, Package: kernel.source.Package, Version: kernel.source.Version,
		},
		Go:         p.compiler.Version,
		Compressor: initramfs.compressor,
		Packer:     p.packer,
		Commands:   p.busybox.Commands,
		Artefacts: []manifest.Artefact{
			manifest.Describe(kernelFile, kernel.image),
			manifest.DescribeCompressed(initramfsFile, initramfs.file, initramfs.plain),
		},
	}
}

// materials is the image in the words of its bill.
func (o order) materials(m manifest.Manifest, p parts, roots gotool.Module) spdx.Image {
	artefact := func(name, version string) spdx.Artefact {
		found, _ := m.Artefact(name) // the manifest was made with it
		return spdx.Artefact{Name: name, Version: version, SHA256: found.SHA256}
	}
	return spdx.Image{
		Version:   m.Version,
		Commit:    m.Source.Commit,
		Time:      m.Source.Time,
		Go:        m.Go,
		Kernel:    artefact(kernelFile, m.Kernel.Release),
		Initramfs: artefact(initramfsFile, m.Version),
		Source:    spdx.KernelSource{Package: m.Kernel.Package, Version: m.Kernel.Version},
		Init:      spdx.Executable{Path: "/init", SHA256: manifest.Hash(p.init), Modules: modules(p.linked)},
		Busybox:   spdx.Executable{Path: "/bbin/bb", SHA256: manifest.Hash(p.bb), Modules: modules(p.busybox.Modules)},
		Roots:     spdx.Module(roots),
	}
}

func modules(listed []gotool.Module) []spdx.Module {
	var modules []spdx.Module
	for _, module := range listed {
		modules = append(modules, spdx.Module(module))
	}
	return modules
}

// summary is what the command prints at its end.
func summary(output string, m manifest.Manifest) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Dipper %s for %s, Linux %s, in %s:\n", m.Version, m.Arch, m.Kernel.Release, output)
	for _, artefact := range m.Artefacts {
		text.WriteString(size(artefact.Size, artefact.Name))
	}
	kernel, _ := m.Artefact(kernelFile)
	initramfs, _ := m.Artefact(initramfsFile)
	text.WriteString(size(kernel.Size+initramfs.Size, fmt.Sprintf("kernel and initramfs, of %d", sizeLimit)))
	return text.String()
}

func size(bytes int, what string) string { return fmt.Sprintf("%10d  %s\n", bytes, what) }
