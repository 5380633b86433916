package appliance

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime/debug"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
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

// Memory for each byte of text, beside all that is there. What is to run takes
// config.MemoryFor: with garbage always collected, reading 20,000 real servers
// took 27 to 32 bytes of it, in one service and in services of ten, and planning
// 22; 13 stay until the edits are made (TestMemoryOfATable), while the kernel adds
// some 600 bytes for each real server and deletes last. Collecting less often may
// take half of what is free (package main, memory.go).
const (
	// readPerByte is what reading a document takes.
	readPerByte = 36
	// makePerByte is what it takes to make a text that nobody wrote: 36 to 48
	// bytes of it, as a document and read again to be sure.
	makePerByte = 56
	// spare is what work on a small table takes, and its garbage.
	spare = 1 << 20
)

// textSize is about how long a configuration's table is as text.
func textSize(cfg *config.Config) int {
	const line = 52 // bytes for each of 100,000 real servers, as measured
	return tableLines(cfg) * line
}

// tableLines counts the services and real servers of a configuration.
func tableLines(cfg *config.Config) int {
	if cfg == nil {
		return 0
	}
	lines := 0
	for i := range cfg.Services {
		lines += 1 + len(cfg.Services[i].RealServers)
	}
	return lines
}

// has tells whether so many bytes are free, and how many are. What every machine
// has, nobody looks for.
func (m memory) has(needed uint64) (free uint64, enough bool) {
	if needed < spare {
		return spare, true
	}
	free = m.free(needed)
	return free, needed <= free
}

// parse reads a configuration that is to run, if there is room for its table
// beside all that is there: the one that it replaces stays until the end.
func (m memory) parse(source string, yaml []byte) (*config.Config, error) {
	return config.ParseWithin(source, yaml, m.free(config.MemoryFor(len(yaml))))
}

// roomFor answers an error unless there is so much memory for something to be
// done, which leaves everything as it is.
func (m memory) roomFor(what string, needed uint64) error {
	free, enough := m.has(needed)
	if enough {
		return nil
	}
	return &api.Error{Message: fmt.Sprintf("%s takes about %d MiB of memory, and %d MiB are free: expected fewer services and real servers, or a machine with more memory",
		what, needed>>20, free>>20)}
}

// text is a configuration as text, if that is there or can be made.
func (m memory) text(w *written) ([]byte, error) {
	if size := w.unmade(); size > 0 {
		if err := m.roomFor("the text of the running configuration", makePerByte*uint64(size)); err != nil {
			return nil, err
		}
	}
	return w.text()
}

// document is a configuration as a document, if that is there or can be made.
func (m memory) document(w *written) (*candidate.Document, error) {
	if _, err := m.text(w); err != nil {
		return nil, err
	}
	if size := w.unread(); size > 0 {
		if err := m.roomFor("to read the running configuration", readPerByte*uint64(size)); err != nil {
			return nil, err
		}
	}
	return w.document()
}

// amend is what doc says, as amend has it; nil also where what is to be read of
// it, which is all of a large service, is too much.
func (m memory) amend(known *config.Config, running, doc *candidate.Document) *config.Config {
	excerpt, ok := doc.Excerpt(running)
	if !ok {
		return nil
	}
	if _, enough := m.has(config.MemoryFor(len(excerpt))); !enough {
		return nil
	}
	if cfg, ok := config.Amend(known, excerpt); ok {
		return cfg
	}
	return nil
}

// isText tells whether a configuration was written so. Of a text that there is
// no room for nobody knows.
func (m memory) isText(in intent, yaml []byte) bool {
	if in.config == nil {
		return false
	}
	running, err := m.text(in.text)
	return err == nil && bytes.Equal(yaml, running)
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

// readRules reads all rules that ipvsadm -R is given, if there is room for their
// table beside all that is there.
func (m memory) readRules(in io.Reader) ([]byte, error) {
	var rules bytes.Buffer
	var free uint64
	most := 0
	// To make room takes time: it is done for a table that needs it.
	for _, needed := range [...]uint64{0, config.MemoryFor(maxRules)} {
		free = m.free(needed)
		most = int(min(maxRules, free/config.MemoryFor(1)))
		if _, err := rules.ReadFrom(io.LimitReader(in, int64(max(0, most+1-rules.Len())))); err != nil {
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
