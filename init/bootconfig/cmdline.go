package bootconfig

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// parameter is the kernel parameter and the SMBIOS string that name a config.
const parameter = "dipper.config"

// fromCommandLine is source 1: what the person who wrote the boot loader's
// configuration asks for.
func (a *acquisition) fromCommandLine(ctx context.Context) (finding, error) {
	line, err := os.ReadFile(filepath.Join(a.Root, "proc/cmdline"))
	if err != nil {
		return finding{}, fmt.Errorf("read the kernel command line: %w", err)
	}
	value, ok := lastValue(string(line), parameter)
	if !ok {
		return finding{}, absentError{parameter + "= is not given"}
	}
	label, isLabel := strings.CutPrefix(value, "label:")
	var found finding
	switch {
	case value == "none":
		return finding{place: parameter + "=none"}, stopError{"maintenance was asked for"}
	case isLabel:
		found, err = a.fromNamedVolume(ctx, label)
	default:
		found, err = a.fetch(ctx, value, commandLinePatience)
	}
	found.named = true
	return found, err
}

// lastValue finds name's value in a kernel command line. As in the kernel, the
// last one counts, and quotes surround a value or a whole parameter
// (lib/cmdline.c, next_arg).
func lastValue(line, name string) (value string, ok bool) {
	for _, argument := range splitCommandLine(line) {
		if v, is := cutParameter(argument, name); is {
			value, ok = v, true
		}
	}
	return value, ok
}

// splitCommandLine cuts a kernel command line at the white space outside of
// double quotes.
func splitCommandLine(line string) []string {
	inQuotes := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			inQuotes = !inQuotes
		}
		return !inQuotes && strings.ContainsRune(" \t\n\v\f\r\u00a0", r)
	})
}

// cutParameter gives the value of an argument name=value, without its quotes.
func cutParameter(argument, name string) (value string, ok bool) {
	if unquoted, quoted := strings.CutPrefix(argument, `"`); quoted {
		argument = strings.TrimSuffix(unquoted, `"`)
	}
	value, ok = strings.CutPrefix(argument, name+"=")
	if unquoted, quoted := strings.CutPrefix(value, `"`); quoted {
		value = strings.TrimSuffix(unquoted, `"`)
	}
	return value, ok
}

// parseURL accepts the URLs that a boot config can be fetched from.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	switch u.Scheme {
	case "http", "https", "tftp":
	default:
		return nil, fmt.Errorf("%q is neither an http, https or tftp URL, nor label:NAME, nor none", text)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("URL %q names no host", u.Redacted())
	}
	return u, nil
}
