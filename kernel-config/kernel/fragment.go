package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// unset is the value of an option that is off. Kconfig writes it as
// "# CONFIG_X is not set".
const unset = "n"

// purposes are the fragments that every architecture shares, in the order in
// which they are merged. The architecture's own fragment comes last.
var purposes = [...]string{"base", "virt", "hardware", "network", "lvs", "security"}

// Option is one setting that a fragment asks for.
type Option struct {
	Name  string // with prefix: CONFIG_IP_VS
	Value string // as in a .config: y, 18, "text" with its quotes; n for not set
	File  string // the fragment
	Line  int
}

// String is the option as a .config has it.
func (o Option) String() string {
	if o.Value == unset {
		return "# " + o.Name + " is not set"
	}
	return o.Name + "=" + o.Value
}

func (o Option) position() string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

var (
	setLine   = regexp.MustCompile(`^(CONFIG_\w+)=(y|-?[0-9]+|0x[0-9a-fA-F]+|"[^"]*")$`)
	unsetLine = regexp.MustCompile(`^# (CONFIG_\w+) is not set$`)
)

// ReadFragments reads the fragments of arch from fsys. An option that is set in
// two places is an error, even with the same value: its reason has one place.
func ReadFragments(fsys fs.FS, arch string) ([]Option, error) {
	var all []Option
	for _, name := range append(purposes[:], arch) {
		options, err := ReadFragment(fsys, name+".config")
		if err != nil {
			return nil, err
		}
		all = append(all, options...)
	}
	return all, checkDuplicates(all)
}

// ReadFragment reads one file of options and reports all its bad lines at once.
func ReadFragment(fsys fs.FS, file string) ([]Option, error) {
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("kernel configuration: %w", err)
	}
	var (
		options []Option
		errs    []error
		scanner = bufio.NewScanner(bytes.NewReader(text))
	)
	for line := 1; scanner.Scan(); line++ {
		option, ok, err := parseLine(scanner.Text())
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, line, err))
		case ok:
			option.File, option.Line = file, line
			options = append(options, option)
		}
	}
	return options, errors.Join(append(errs, scanner.Err())...)
}

// parseLine reads one line of a fragment; ok is false for comments and blanks.
func parseLine(line string) (option Option, ok bool, err error) {
	if m := setLine.FindStringSubmatch(line); m != nil {
		return Option{Name: m[1], Value: m[2]}, true, nil
	}
	if m := unsetLine.FindStringSubmatch(line); m != nil {
		return Option{Name: m[1], Value: unset}, true, nil
	}
	if line == "" || strings.HasPrefix(line, "#") {
		return Option{}, false, nil
	}
	return Option{}, false, fmt.Errorf("%q is neither CONFIG_NAME=value (y, a number or a quoted text), "+
		"\"# CONFIG_NAME is not set\" nor a comment", line)
}

func checkDuplicates(options []Option) error {
	var errs []error
	first := make(map[string]Option, len(options))
	for _, option := range options {
		if earlier, ok := first[option.Name]; ok {
			errs = append(errs, fmt.Errorf("%s: %s: already set at %s", option.position(), option, earlier.position()))
			continue
		}
		first[option.Name] = option
	}
	return errors.Join(errs...)
}

// merged is the text that Kconfig reads through KCONFIG_ALLCONFIG.
func merged(options []Option) []byte {
	var text bytes.Buffer
	for _, option := range options {
		fmt.Fprintln(&text, option)
	}
	return text.Bytes()
}
