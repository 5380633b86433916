package appliance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"dipper/appliance/network"
)

// running keeps the running configuration and the leases in a directory that
// lives as long as the machine runs, so that a restarted control plane goes on
// with them: it asks no DHCP server, URL or volume again, and does not take
// the addresses of leases for foreign ones.
type running struct {
	dir string
}

// rulesMark ends the YAML in the file of the running configuration. What
// follows are rules of ipvsadm's, edits since it was written. YAML itself ends
// a document so (YAML 1.2.2, 9.1.2).
const rulesMark = "\n...\n"

// kept is what a restarted control plane finds.
type kept struct {
	source string
	yaml   []byte
	rules  []byte // of ipvsadm's, that were typed since
}

// load answers the running configuration; found is false on a machine that has
// none yet.
func (r running) load() (k kept, found bool, err error) {
	text, err := os.ReadFile(r.path("config.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return k, false, nil
	}
	if err != nil {
		return k, false, fmt.Errorf("running configuration: %w", err)
	}
	from, err := os.ReadFile(r.path("source"))
	if err != nil {
		return k, false, fmt.Errorf("running configuration: %w", err)
	}
	k.source = string(from)
	k.yaml, k.rules, _ = bytes.Cut(text, []byte(rulesMark))
	return k, true, nil
}

// save stores the running configuration. The source is written first: a
// configuration without one is never seen.
func (r running) save(source string, yaml []byte) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	if err := r.saveSource(source); err != nil {
		return err
	}
	if err := replace(r.path("config.yaml"), yaml); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	return nil
}

func (r running) saveSource(source string) error {
	if err := replace(r.path("source"), []byte(source)); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	return nil
}

// addRules adds rules to what is stored; first tells that there are none yet.
func (r running) addRules(rules []byte, first bool) error {
	f, err := os.OpenFile(r.path("config.yaml"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	if first {
		rules = append([]byte(rulesMark), rules...)
	}
	_, err = f.Write(rules)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("running configuration: %w", err)
	}
	return nil
}

// keepIntent stores the running configuration, the verbs of operators and the
// unconfirmed commit.
func (r *reconciler) keepIntent() error {
	if r.in.config == nil {
		return nil
	}
	return errors.Join(r.keepText(), r.keepVerbs(), r.running.savePending(r.pending))
}

// keepVerbs stores the verbs of operators, if they are not stored so.
func (r *reconciler) keepVerbs() error {
	if r.keptVerbs != nil && maps.Equal(*r.keptVerbs, r.in.verbs) {
		return nil
	}
	if err := r.running.saveVerbs(r.in.verbs); err != nil {
		return err
	}
	stored := r.in.verbs
	r.keptVerbs = &stored
	return nil
}

// keepText stores the running configuration: where only rules were typed since
// it was stored, those. With verbs in force a rule does not say what it came to.
func (r *reconciler) keepText() error {
	text := r.in.text
	if text == r.kept {
		return r.running.saveSource(r.in.source)
	}
	if text.after != nil && text.after == r.kept && len(r.in.verbs) == 0 {
		typed := text.rules
		if r.keptLen > 0 {
			typed = typed.behind(r.kept.rules)
		}
		if length := r.keptLen + len(typed.text); length <= maxRulesKept && typed.work <= maxRulesWork {
			if err := r.running.addRules(typed.text, r.keptLen == 0); err != nil {
				return err
			}
			r.kept, r.keptLen = text, length
			text.after, text.rules = nil, rules{apart: typed.apart, work: typed.work}
			return nil
		}
	}
	yaml, err := text.text()
	if err != nil {
		return err
	}
	text.after, text.rules = nil, rules{}
	r.kept, r.keptLen = text, 0
	return r.running.save(r.in.source, yaml)
}

// keptVerb is a verb in its file.
type keptVerb struct {
	serverID
	verb
}

// list gives the verbs in order, as they are kept.
func (v verbs) list() []keptVerb {
	kept := make([]keptVerb, 0, len(v))
	for _, id := range slices.SortedFunc(maps.Keys(v), serverID.compare) {
		kept = append(kept, keptVerb{id, v[id]})
	}
	return kept
}

// verbsOf is the reverse of list.
func verbsOf(kept []keptVerb) verbs {
	all := make(verbs, len(kept))
	for _, k := range kept {
		all[k.serverID] = k.verb
	}
	return all
}

// saveVerbs stores the verbs of operators.
func (r running) saveVerbs(all verbs) error {
	if err := r.store("verbs.json", all.list()); err != nil {
		return fmt.Errorf("server verbs: %w", err)
	}
	return nil
}

// loadVerbs answers the stored verbs, none on a machine that just started.
func (r running) loadVerbs() (verbs, error) {
	var kept []keptVerb
	if _, err := r.recall("verbs.json", &kept); err != nil {
		return nil, fmt.Errorf("server verbs: %w", err)
	}
	return verbsOf(kept), nil
}

// savePending stores the unconfirmed commit; nil: there is none.
func (r running) savePending(p *unconfirmed) error {
	var err error
	if p == nil {
		err = os.Remove(r.path("unconfirmed.json"))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = r.store("unconfirmed.json", p)
	}
	if err != nil {
		return fmt.Errorf("unconfirmed commit: %w", err)
	}
	return nil
}

// loadPending answers the unconfirmed commit, nil if there is none.
func (r running) loadPending() (*unconfirmed, error) {
	var p unconfirmed
	found, err := r.recall("unconfirmed.json", &p)
	if err != nil {
		return nil, fmt.Errorf("unconfirmed commit: %w", err)
	}
	if !found {
		return nil, nil
	}
	return &p, nil
}

// claim is the file that says whose the IPVS table is. Where it is not, no
// control plane of this boot has edited the table.
const claim = "ipvs-table"

// saveClaim stores that the kernel's IPVS table is the machine's own.
func (r running) saveClaim() error {
	if err := replace(r.path(claim), []byte("dipper's until the next boot\n")); err != nil {
		return fmt.Errorf("ipvs: whose table it is: %w", err)
	}
	return nil
}

// loadClaim answers whether it is.
func (r running) loadClaim() (bool, error) {
	_, err := os.Stat(r.path(claim))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ipvs: whose table it is: %w", err)
	}
	return true, nil
}

// bootRecord is what a boot source gave.
type bootRecord struct {
	Source string `json:"source"`
	YAML   []byte `json:"yaml"`
}

// saveBoot stores what the machine booted with.
func (r running) saveBoot(source string, yaml []byte) error {
	if err := r.store("booted.json", bootRecord{source, yaml}); err != nil {
		return fmt.Errorf("boot config: %w", err)
	}
	return nil
}

// loadBoot answers what the machine booted with.
func (r running) loadBoot() (source string, yaml []byte, found bool, err error) {
	var record bootRecord
	if found, err = r.recall("booted.json", &record); err != nil {
		return "", nil, false, fmt.Errorf("boot config: %w", err)
	}
	return record.Source, record.YAML, found, nil
}

// store keeps a value as JSON.
func (r running) store(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return replace(r.path(name), text)
}

// recall reads what store kept; found is false when there is nothing.
func (r running) recall(name string, v any) (found bool, err error) {
	text, err := os.ReadFile(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(text, v)
}

// saveLeases stores the leases that are in use.
func (r running) saveLeases(leases map[string]network.Lease) error {
	if err := r.store("leases.json", leases); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	return nil
}

// loadLeases answers the stored leases, none on a machine that just started. It
// is never nil.
func (r running) loadLeases() (map[string]network.Lease, error) {
	leases := make(map[string]network.Lease)
	if _, err := r.recall("leases.json", &leases); err != nil {
		return make(map[string]network.Lease), fmt.Errorf("leases: %w", err)
	}
	return leases, nil
}

// saveNameServers writes the file that the image's /etc/resolv.conf points to
// (resolv.conf(5)), unless it says so already.
func (r running) saveNameServers(servers []netip.Addr) error {
	var text bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	old, err := os.ReadFile(r.path("resolv.conf"))
	if err == nil && bytes.Equal(old, text.Bytes()) {
		return nil
	}
	if err := replace(r.path("resolv.conf"), text.Bytes()); err != nil {
		return fmt.Errorf("name servers: %w", err)
	}
	return nil
}

func (r running) path(name string) string { return filepath.Join(r.dir, name) }

// replace writes a file so that readers see the old or the new one. The
// directory is in memory: there is nothing to sync.
func replace(path string, parts ...[]byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}
