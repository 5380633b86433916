package shell

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"

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

// available is the line of /proc/meminfo that says what programs could have
// (proc_meminfo(5)).
var available = regexp.MustCompile(`(?m)^MemAvailable:\s+(\d+) kB$`)

// memoryFree is how many bytes of memory programs could have.
func memoryFree() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	found := available.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("/proc/meminfo has no MemAvailable")
	}
	kilobytes, err := strconv.ParseUint(string(found[1]), 10, 64)
	return kilobytes << 10, err
}
