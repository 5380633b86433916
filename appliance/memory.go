package appliance

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime/debug"

	"dipper/appliance/api"
	"dipper/appliance/config"
)

// memory tells how many bytes programs could still have; nil: nobody counts.
type memory func() (uint64, error)

// free answers that number. Where needed bytes are not free at once, what the
// control plane itself can spare is given back first.
func (m memory) free(needed uint64) uint64 {
	if m == nil {
		return math.MaxInt64
	}
	free, err := m()
	if err == nil && free < needed {
		debug.FreeOSMemory()
		free, err = m()
	}
	if err != nil {
		return math.MaxInt64 // a machine that does not say it is not full
	}
	return free
}

// held is about how much memory the table of a configuration takes already,
// which a table that replaces it need not find anew.
func held(cfg *config.Config) uint64 {
	const line = 52 // bytes of text for each of 100,000 real servers, as measured
	if cfg == nil {
		return 0
	}
	lines := 0
	for i := range cfg.Services {
		lines += 1 + len(cfg.Services[i].RealServers)
	}
	return config.MemoryFor(lines * line)
}

// holds tells whether the table of a configuration of so many bytes fits beside
// all but what it replaces.
func (m memory) holds(size int, replaced *config.Config) bool {
	needed, given := config.MemoryFor(size), held(replaced)
	return size <= config.MaxSize && (needed <= given || needed <= m.free(needed-given)+given)
}

// parse reads a configuration that is to run, if its table fits beside all but
// what it replaces.
func (m memory) parse(source string, yaml []byte, replaced *config.Config) (*config.Config, error) {
	needed, given := config.MemoryFor(len(yaml)), held(replaced)
	if needed <= given {
		return config.Parse(source, yaml)
	}
	return config.ParseWithin(source, yaml, m.free(needed-given)+given)
}

// sparedMemory is what the shell leaves free, in bytes, when it looks at a
// password (package shell, memory.go).
const sparedMemory = 16 << 20

// unaffordable names the passwords that cannot be looked at, because their hash
// takes more memory than is free at present.
func (m memory) unaffordable(cfg *config.Config) []string {
	if cfg == nil {
		return nil
	}
	var warnings []string
	for _, u := range cfg.Management.SSH.Users {
		takes := u.PasswordMemory()
		if takes == 0 {
			continue
		}
		if free := m.free(takes + sparedMemory); free < takes+sparedMemory {
			warnings = append(warnings, fmt.Sprintf("management.ssh.users.%s.password-hash: takes %d MiB to look at, of %d MiB that are free and %d MiB that are spared: as long as that is so the password lets nobody in; a key, bcrypt or an argon2id hash with less memory does",
				u.Name, takes>>20, free>>20, sparedMemory>>20))
		}
	}
	return warnings
}

// maxRules bounds what ipvsadm -R reads, in bytes: some 500,000 rules. Where
// memory is short it is what fits: a rule is about as long as the lines of a
// configuration that say the same.
const maxRules = 64 << 20

// readRules reads all rules that ipvsadm -R is given, if their table fits
// beside all but the running one: rules that begin with -C replace it.
func (m memory) readRules(in io.Reader, replaced *config.Config) ([]byte, error) {
	var rules bytes.Buffer
	var free uint64
	most := 0
	// To make room takes time: it is done for a table that needs it.
	for _, needed := range [...]uint64{0, config.MemoryFor(maxRules)} {
		free = m.free(needed) + held(replaced)
		most = int(min(maxRules, free/config.MemoryFor(1)))
		if _, err := rules.ReadFrom(io.LimitReader(in, int64(most+1-rules.Len()))); err != nil {
			return nil, fmt.Errorf("ipvsadm -R: %w", err)
		}
		if rules.Len() <= most {
			return rules.Bytes(), nil
		}
		if most == maxRules {
			break
		}
	}
	no := &api.Error{Message: fmt.Sprintf("ipvsadm -R: more than %d bytes of rules; nothing was changed", most)}
	if most < maxRules {
		no.Message += fmt.Sprintf(": a table of them does not fit %d MiB of free memory: expected fewer rules, or a machine with more memory", free>>20)
	}
	return nil, no
}
