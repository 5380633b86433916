package kernel

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Config is a complete kernel configuration: every option that is on, by its
// full name. An option that is missing is off.
type Config map[string]string

// ParseConfig reads a .config as Kconfig writes it.
func ParseConfig(text []byte) (Config, error) {
	config := make(Config)
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; scanner.Scan(); line++ {
		option, ok, err := parseLine(scanner.Text())
		if err != nil {
			return nil, fmt.Errorf(".config:%d: %w", line, err)
		}
		if ok && option.Value != unset {
			config[option.Name] = option.Value
		}
	}
	return config, scanner.Err()
}

// Value is the option's value, n where it is off or unknown.
func (c Config) Value(name string) string {
	if value, ok := c[name]; ok {
		return value
	}
	return unset
}

// Mismatch is an option that Kconfig did not give as asked: its dependencies are
// not met, another option selects it, or this kernel does not know it.
type Mismatch struct {
	Want Option
	Got  string
}

// Error names the line that asks for the option, and what usually is the reason.
func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s: %s: wanted %s, got %s (is what it depends on set, does something select it, "+
		"does this kernel have it?)", m.Want.position(), m.Want.Name, m.Want.Value, m.Got)
}

// Verify holds a configuration against what the fragments ask for and returns
// all differences, each a *Mismatch.
func Verify(want []Option, got Config) error {
	var errs []error
	for _, option := range want {
		if value := got.Value(option.Name); value != option.Value {
			errs = append(errs, &Mismatch{Want: option, Got: value})
		}
	}
	return errors.Join(errs...)
}

// Configure merges options onto allnoconfig in the object directory and returns
// the configuration, unverified. The object directory holds .config afterwards.
func Configure(ctx context.Context, arch Arch, source, object string, options []Option) (Config, error) {
	wanted := filepath.Join(object, "wanted.config")
	if err := os.WriteFile(wanted, merged(options), 0o644); err != nil {
		return nil, fmt.Errorf("kernel configuration: %w", err)
	}
	run := arch.make(source, object, "", "KCONFIG_ALLCONFIG="+wanted, "allnoconfig")
	if output, err := run(ctx).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make allnoconfig: %w\n%s", err, output)
	}
	text, err := os.ReadFile(filepath.Join(object, ".config"))
	if err != nil {
		return nil, fmt.Errorf("kernel configuration: %w", err)
	}
	return ParseConfig(text)
}
