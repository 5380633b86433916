// Package executable builds the one executable of the image, /init, and reads
// back what the linker put into it. It knows nothing of the image around it.
package executable

import (
	"context"
	"debug/buildinfo"
	"fmt"

	"dipper/image/gotool"
)

// versionVariable of package main holds the version.
const versionVariable = "main.version"

// tags leave HTTP/2 out, which nothing in the image speaks: a twentieth of the
// executable (0.55 of 10.5 MB, packed 0.19 MB).
const tags = "nethttpomithttp2"

// Build compiles the package in ./init into output. Nothing of the machine it is
// built on gets into the executable: neither paths nor the state of git. The go
// command's cache makes a second build a matter of a second.
func Build(ctx context.Context, tool gotool.Tool, output, version string) error {
	_, err := tool.Run(ctx, tool.Root, nil, "build", "-trimpath", "-buildvcs=false", "-tags="+tags,
		"-ldflags=-s -w -X "+versionVariable+"="+version, "-o", output, "./init")
	if err != nil {
		return fmt.Errorf("the image's executable: %w", err)
	}
	return nil
}

// Modules reads from an executable which modules are linked into it.
func Modules(path string) ([]gotool.Module, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("build information of %s: %w", path, err)
	}
	var modules []gotool.Module
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			return nil, fmt.Errorf("module %s is replaced by %s: an image is built from released modules",
				dependency.Path, dependency.Replace.Path)
		}
		modules = append(modules, gotool.Module{Path: dependency.Path, Version: dependency.Version, Sum: dependency.Sum})
	}
	return modules, nil
}
