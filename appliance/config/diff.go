package config

import (
	"slices"
	"strconv"
	"strings"
)

// ChangeKind is what happens to a setting.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is one difference between two configurations.
type Change struct {
	Kind ChangeKind
	// Path leads to the setting, in the words of the file; items of lists go
	// by what tells them apart: {"services", "web", "real-servers",
	// "192.168.4.100:80", "weight"}.
	Path []string
	// Old and New are the setting's values as they are written in YAML, empty
	// where it has none: before it is added, after it is removed, and when
	// Path is all there is to say, as for an address in a list.
	Old, New string
}

// String gives the change as a command: "set services web scheduler wrr" or
// "delete services web". Secrets are hidden.
func (c Change) String() string {
	var words []string
	if c.Kind == Removed {
		words = append(words, "delete")
	} else {
		words = append(words, "set")
	}
	for _, step := range c.Path {
		if strings.ContainsAny(step, " \"\\") {
			step = strconv.Quote(step)
		}
		words = append(words, step)
	}
	if c.New != "" {
		words = append(words, c.New)
	}
	return strings.Join(words, " ")
}

// Diff gives the changes that lead from a to b; nil stands for an empty
// configuration. What was removed whole is one change, what was added is one
// change per setting. Order within lists is no difference.
func Diff(a, b *Config) []Change {
	a, b = Differing(a, b)
	return difference(nil, outlineOf(a), outlineOf(b))
}

// Differing gives two configurations without the services that they have alike,
// but for one, so that neither loses all of its services by it: a change to one
// of 10,000 should not cost trees of all. Nil stands for an empty one.
func Differing(a, b *Config) (*Config, *Config) {
	if a == nil || b == nil {
		return a, b
	}
	alike := make(map[string]bool)
	before := make(map[string]*Service, len(a.Services))
	for i := range a.Services {
		before[a.Services[i].Name] = &a.Services[i]
	}
	kept := false
	for i := range b.Services {
		now := &b.Services[i]
		if was := before[now.Name]; was != nil && was.equal(now) {
			alike[now.Name] = kept
			kept = true
		}
	}
	rest := func(c *Config) *Config {
		reduced := *c
		reduced.Services = nil
		for _, s := range c.Services {
			if !alike[s.Name] {
				reduced.Services = append(reduced.Services, s)
			}
		}
		return &reduced
	}
	return rest(a), rest(b)
}

// equal says that two services are the same, with their lists in the same
// order.
func (s *Service) equal(other *Service) bool {
	samePersistence := s.Persistence == other.Persistence ||
		s.Persistence != nil && other.Persistence != nil && *s.Persistence == *other.Persistence
	return samePersistence &&
		s.Name == other.Name && s.FWMark == other.FWMark && s.MarkAssigned == other.MarkAssigned && s.Family == other.Family &&
		s.Scheduler == other.Scheduler && s.OnePacket == other.OnePacket && s.OnDown == other.OnDown && s.Assign == other.Assign &&
		s.Forward == other.Forward && s.Tunnel == other.Tunnel &&
		slices.Equal(s.Listen, other.Listen) && slices.Equal(s.Protocols, other.Protocols) &&
		slices.Equal(s.SchedulerFlags, other.SchedulerFlags) && slices.Equal(s.RealServers, other.RealServers)
}

// difference compares the children of two parts at the same path, those that
// go first.
func difference(path []string, a, b outline) []Change {
	var changes []Change
	before, after := a.byName(), b.byName()
	for _, old := range a.children {
		if _, kept := after[old.name]; !kept && !old.identity {
			changes = append(changes, Change{Kind: Removed, Path: step(path, old.name), Old: old.shown()})
		}
	}
	for _, now := range b.children {
		old, existed := before[now.name]
		switch {
		case now.identity:
		case !existed:
			changes = append(changes, additions(step(path, now.name), now)...)
		case now.form == leaf && old.value != now.value:
			changes = append(changes, Change{Changed, step(path, now.name), old.shown(), now.shown()})
		default:
			changes = append(changes, difference(step(path, now.name), old, now)...)
		}
	}
	return changes
}

// additions gives every setting of a part that is new.
func additions(path []string, o outline) []Change {
	var changes []Change
	for _, child := range o.children {
		if !child.identity {
			changes = append(changes, additions(step(path, child.name), child)...)
		}
	}
	if len(changes) == 0 {
		return []Change{{Kind: Added, Path: path, New: o.shown()}}
	}
	return changes
}

// byName indexes the children of a part: a service may have 10,000 of them.
func (o outline) byName() map[string]outline {
	children := make(map[string]outline, len(o.children))
	for _, child := range o.children {
		children[child.name] = child
	}
	return children
}

func step(path []string, name string) []string {
	return append(slices.Clone(path), name)
}
