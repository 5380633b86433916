package peer

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

// packages are the Debian packages whose programs a peer has.
var packages = []string{
	"busybox-static",
	"conntrack",
	"curl",
	"dash",
	"dnsmasq-base",
	"ethtool",
	"iperf3",
	"iproute2",
	"iputils-arping",
	"iputils-ping",
	"ipvsadm",
	"keepalived",
	"ndisc6",
	"nftables",
	"openssh-client",
	"socat",
	"tcpdump",
	"vsftpd",
}

// candidates are the packages with the libraries that they may need, each as
// apt names it with its version: "curl=7.88.1-10+deb12u15". Of what they depend
// on only libraries matter: nothing is installed here, no script of a package
// runs.
func candidates(ctx context.Context) ([]string, error) {
	names, err := closure(ctx, packages)
	if err != nil {
		return nil, err
	}
	shown, err := output(ctx, "", "apt-cache", slices.Concat([]string{"show", "--no-all-versions"}, names)...)
	if err != nil {
		return nil, err
	}
	return parseVersions(shown), nil
}

func closure(ctx context.Context, names []string) ([]string, error) {
	listed, err := output(ctx, "", "apt-cache", slices.Concat([]string{
		"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances",
	}, names)...)
	if err != nil {
		return nil, fmt.Errorf("%w (has apt-get update been run?)", err)
	}
	return slices.DeleteFunc(parseClosure(listed), func(name string) bool {
		return !strings.HasPrefix(name, "lib") && name != "zlib1g" && !slices.Contains(names, name)
	}), nil
}

// parseClosure reads apt-cache depends: packages at the start of lines, virtual
// ones in angle brackets, dependencies indented.
func parseClosure(listed string) []string {
	var names []string
	for line := range strings.Lines(listed) {
		if name := strings.TrimSpace(line); name != "" && !strings.ContainsAny(line[:1], " |<") {
			names = append(names, strings.TrimSuffix(name, ":i386"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parseVersions reads apt-cache show: paragraphs of fields.
func parseVersions(shown string) []string {
	var versions []string
	var name string
	for line := range strings.Lines(shown) {
		field, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		switch field {
		case "Package":
			name = value
		case "Version":
			versions = append(versions, name+"="+value)
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// unpack downloads packages and unpacks them over each other in dir, without
// the programs of those that are there for their libraries.
func unpack(ctx context.Context, versions []string, dir string) error {
	archives, err := os.MkdirTemp(filepath.Dir(dir), "archives-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(archives)
	// The sandbox user of a root's apt cannot write below a root's home.
	download := slices.Concat([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, versions)
	if _, err := output(ctx, archives, "apt-get", download...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) != len(versions) {
		return fmt.Errorf("apt-get download: %d files for %d packages", len(files), len(versions))
	}
	wanted := func(file string) bool {
		name, _, _ := strings.Cut(filepath.Base(file), "_")
		return slices.Contains(packages, name)
	}
	if err := unpackFiles(ctx, slices.DeleteFunc(slices.Clone(files), wanted), dir); err != nil {
		return err
	}
	for _, directory := range programDirectories {
		if err := os.RemoveAll(filepath.Join(dir, directory)); err != nil {
			return err
		}
	}
	return unpackFiles(ctx, slices.DeleteFunc(files, func(f string) bool { return !wanted(f) }), dir)
}

func unpackFiles(ctx context.Context, files []string, dir string) error {
	for _, file := range files {
		if _, err := output(ctx, "", "dpkg", "-x", file, dir); err != nil {
			return err
		}
	}
	return nil
}

// output runs a program in dir and returns what it printed.
func output(ctx context.Context, dir, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w", program, errors.Join(err, errors.New(strings.TrimSpace(stderr.String()))))
	}
	return stdout.String(), nil
}
