package forwarding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// modules are what the measurement needs of a kernel that has them apart.
var modules = []string{"veth", "dummy", "pktgen", "ip_vs", "ip_vs_rr", "ipip", "nf_tables", "nft_chain_nat", "nft_nat", "nft_ct"}

// debian is Debian's cloud kernel.
type debian struct {
	kernel  string
	modules []string // unpacked, in the order of loading
}

// fetchDebian downloads the cloud kernel of the version that ours is built
// from, and unpacks it below dir.
func fetchDebian(ctx context.Context, dir string) (debian, error) {
	name, err := findPackage(ctx)
	if err != nil {
		return debian{}, err
	}
	root := filepath.Join(dir, name)
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		if err := unpack(ctx, name, root); err != nil {
			return debian{}, err
		}
	}
	release := strings.TrimPrefix(name, "linux-image-")
	d := debian{kernel: filepath.Join(root, "boot", "vmlinuz-"+release)}
	d.modules, err = unpackModules(ctx, root, release)
	return d, err
}

// findPackage finds the cloud kernel of our kernel's version: the newest signed
// one, as apt has the kernel's source of the same day.
func findPackage(ctx context.Context) (string, error) {
	listed, err := output(ctx, "", "apt-cache", "pkgnames", "linux-image-6.12.")
	if err != nil {
		return "", err
	}
	names := slices.DeleteFunc(strings.Fields(listed), func(n string) bool { return !strings.HasSuffix(n, "-cloud-amd64") })
	if len(names) == 0 {
		return "", errors.New("apt knows no linux-image-6.12.*-cloud-amd64: run apt-get update")
	}
	sorted, err := output(ctx, strings.Join(names, "\n"), "sort", "-V")
	if err != nil {
		return "", err
	}
	names = strings.Fields(sorted)
	return names[len(names)-1], nil
}

// unpack leaves the package's files in root, all of them or none.
func unpack(ctx context.Context, name, root string) error {
	unfinished, err := os.MkdirTemp(filepath.Dir(root), "unfinished-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished) // gone when all went well
	// The sandbox user of a root's apt cannot write below a root's home.
	const script = `cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2" && dpkg -x ./*.deb files && depmod -b "$PWD/files" "${2#linux-image-}"`
	if _, err := output(ctx, "", "sh", "-c", script, "unpack", unfinished, name); err != nil {
		return err
	}
	return os.Rename(filepath.Join(unfinished, "files"), root)
}

// unpackModules lists the modules with those that they need, before them.
func unpackModules(ctx context.Context, root, release string) ([]string, error) {
	var files []string
	for _, module := range modules {
		// "insmod /path/veth.ko.xz" for each, some with options behind.
		needed, err := output(ctx, "", "modprobe", "-d", root, "-S", release, "--show-depends", module)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(needed) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "insmod" {
				continue
			}
			packed := words[1]
			file, isPacked := strings.CutSuffix(packed, ".xz")
			if slices.Contains(files, file) {
				continue
			}
			if isPacked {
				if _, err := output(ctx, "", "xz", "--decompress", "--keep", "--force", packed); err != nil {
					return nil, err
				}
			}
			files = append(files, file)
		}
	}
	return files, nil
}

// output runs a program and answers what it printed.
func output(ctx context.Context, in, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
