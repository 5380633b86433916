package shell

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"dipper/shell/access"
)

// spareMemory is what has to be left, in bytes, when a password is looked at.
const spareMemory = 16 << 20

// errNoMemory is why a password is not looked at whose hash takes more memory
// than there is.
var errNoMemory = errors.New("not enough memory to look at the password: use a key, or a hash that takes less")

// lookAt checks a password where there is memory for it. On a machine of 128
// MiB a single wrong password, of which the hash takes 64, made the kernel kill
// the shell.
func lookAt(rules *access.Rules, free func() (uint64, error), user, password string) (access.Grant, error) {
	takes := rules.PasswordMemory(user)
	if takes == 0 {
		return rules.Password(user, password)
	}
	there, err := free()
	if err != nil {
		return access.Grant{}, err
	}
	if there < takes+spareMemory {
		return access.Grant{}, fmt.Errorf("%w (%d MiB, and %d MiB are free)", errNoMemory, takes>>20, there>>20)
	}
	// What the hash took is no use to anything else here, and the next one would
	// come on top of it.
	defer debug.FreeOSMemory()
	return rules.Password(user, password)
}

// memoryFree is how many bytes of memory programs could have: MemAvailable of
// /proc/meminfo (proc_meminfo(5)).
func memoryFree() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return memoryAvailable(string(text))
}

func memoryAvailable(meminfo string) (uint64, error) {
	for line := range strings.Lines(meminfo) {
		rest, found := strings.CutPrefix(line, "MemAvailable:")
		if !found {
			continue
		}
		kilobytes, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: MemAvailable: %w", err)
		}
		return kilobytes << 10, nil
	}
	return 0, errors.New("/proc/meminfo has no MemAvailable")
}
