package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// tools are the programs a build runs, with the Debian packages that have them.
var tools = [...]struct{ program, pkg string }{
	{"make", "make"},
	{"gcc", "gcc"},
	{"ld", "binutils"},
	{"flex", "flex"},
	{"bison", "bison"},
	{"bc", "bc"},
	{"perl", "perl"},
	{"zstd", "zstd"},
	{"tar", "tar"},
	{"xz", "xz-utils"},
}

// headers are what the build's own programs include: objtool reads ELF files.
var headers = [...]struct{ header, pkg string }{
	{"libelf.h", "libelf-dev"},
	{"stdio.h", "libc6-dev"},
}

// CheckTools says which packages a build needs and this machine does not have,
// all at once, as a *MissingPackageError.
func CheckTools(ctx context.Context) error {
	var what, packages []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool.program); err != nil {
			what, packages = append(what, tool.program), append(packages, tool.pkg)
		}
	}
	for _, h := range headers {
		preprocess := exec.CommandContext(ctx, "gcc", "-E", "-o", os.DevNull, "-")
		preprocess.Stdin = strings.NewReader("#include <" + h.header + ">\n")
		if err := preprocess.Run(); err != nil {
			what, packages = append(what, h.header), append(packages, h.pkg)
		}
	}
	if packages != nil {
		return &MissingPackageError{What: strings.Join(what, ", "), Packages: packages}
	}
	return nil
}

// toolchain names the compiler and the linker: other versions make other bytes.
func toolchain(ctx context.Context) (string, error) {
	var lines []string
	for _, program := range []string{"gcc", "ld", "zstd"} {
		output, err := exec.CommandContext(ctx, program, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("%s --version: %w", program, err)
		}
		line, _, _ := bytes.Cut(output, []byte("\n"))
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n"), nil
}
