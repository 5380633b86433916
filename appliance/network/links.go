package network

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// linkPlan is what must happen to links, and what that means for the rest.
type linkPlan struct {
	renamed map[string]string // present name: name after arrange, of all links that stay
	gone    map[string]bool   // present names of links that are deleted
	fresh   map[string]bool   // names of links that were made or renamed
	exists  map[string]bool   // names of all links after arrange
	arrange []Op              // find, delete, rename, make
	settle  []Op              // members, MTU, up
}

// planLinks compares links. Physical links that nobody wants are left alone.
func planLinks(observed, desired []Link) linkPlan {
	p := linkPlan{
		renamed: make(map[string]string), gone: make(map[string]bool),
		fresh: make(map[string]bool), exists: make(map[string]bool),
	}
	desired = byDependency(desired)
	moves := p.findPhysical(observed, desired)
	reasons := p.findObsolete(observed, desired, moves)
	for _, l := range observed {
		if reason, obsolete := reasons[l.Name]; obsolete {
			p.arrange = append(p.arrange, deleteLink{name: l.Name, reason: reason})
		}
	}
	p.rename(observed, moves)
	for _, l := range observed {
		if !p.gone[l.Name] {
			p.exists[p.renamed[l.Name]] = true
		}
	}
	have := p.afterArrange(observed)
	for _, l := range desired {
		p.make(l, have)
	}
	sooner, later := split(desired, leavers(desired, have))
	for _, l := range sooner {
		p.settleLink(l, have, desired)
	}
	p.release(desired, have)
	for _, l := range later {
		p.settleLink(l, have, desired)
	}
	return p
}

// byDependency sorts links by name, parents and bond members first.
func byDependency(links []Link) []Link {
	pending := slices.SortedFunc(slices.Values(links), func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	var sorted []Link
	waits := func(l Link) bool {
		return slices.ContainsFunc(pending, func(other Link) bool {
			return other.Name != l.Name && (other.Name == l.Parent || slices.Contains(l.BondMembers, other.Name))
		})
	}
	for len(pending) > 0 {
		next := slices.IndexFunc(pending, func(l Link) bool { return !waits(l) })
		if next < 0 {
			next = 0 // a circle: the kernel will refuse it
		}
		sorted = append(sorted, pending[next])
		pending = slices.Delete(pending, next, next+1)
	}
	return sorted
}

// findPhysical matches desired physical and fallback links with observed ones
// and returns the new names that follow, by present name.
func (p *linkPlan) findPhysical(observed, desired []Link) map[string]string {
	moves := make(map[string]string)
	for _, want := range desired {
		if want.Kind != Physical && want.Kind != Fallback {
			continue
		}
		found, err := match(want, observed)
		if err == nil {
			if taken, twice := moves[found.Name]; twice {
				err = fmt.Errorf("it is %s already", taken)
			}
		}
		if err != nil {
			p.arrange = append(p.arrange, missingLink{want: want, reason: err})
			continue
		}
		moves[found.Name] = want.Name
	}
	return moves
}

// match finds the one observed link that a desired physical link means.
func match(want Link, observed []Link) (Link, error) {
	var found []Link
	for _, l := range observed {
		if matches(want, l) {
			found = append(found, l)
		}
	}
	// Members of a bond share its address unless the driver knows the
	// burnt-in one: the link that has the name already is meant.
	for _, l := range found {
		if l.Name == want.Name {
			return l, nil
		}
	}
	switch len(found) {
	case 0:
		return Link{}, fmt.Errorf("no such link; this machine has %s", describe(observed))
	case 1:
		return found[0], nil
	default:
		return Link{}, fmt.Errorf("%d links match; they are %s", len(found), describe(found))
	}
}

func matches(want, have Link) bool {
	switch {
	case have.Kind == VLAN || have.Kind == Bond:
		return false
	case want.MatchMAC != "":
		return have.Kind == Physical && strings.EqualFold(hardwareAddress(have), want.MatchMAC)
	case want.MatchDriver != "":
		return have.Kind == Physical && have.Driver == want.MatchDriver
	default:
		return have.Name == want.Name
	}
}

// findObsolete marks made links that must be deleted, because nobody wants
// them or because they cannot become in place what is wanted, and returns the
// reasons. What stands on a deleted link goes with it, without a reason here.
func (p *linkPlan) findObsolete(observed, desired []Link, moves map[string]string) map[string]string {
	after := func(name string) string { return cmp.Or(moves[name], name) }
	reasons := make(map[string]string)
	for _, l := range observed {
		if l.Kind != VLAN && l.Kind != Bond {
			continue
		}
		if reason := obsolete(l, desired, after); reason != "" {
			reasons[l.Name] = reason
			p.gone[l.Name] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, l := range observed {
			if l.Kind == VLAN && p.gone[l.Parent] && !p.gone[l.Name] {
				p.gone[l.Name] = true
				grown = true
			}
		}
	}
	maps.DeleteFunc(reasons, func(name, _ string) bool {
		i := slices.IndexFunc(observed, func(l Link) bool { return l.Name == name })
		return p.gone[observed[i].Parent]
	})
	return reasons
}

// obsolete says why a made link must be deleted; "" when it may stay.
func obsolete(have Link, desired []Link, after func(string) string) string {
	i := slices.IndexFunc(desired, func(l Link) bool { return l.Name == have.Name })
	if i < 0 {
		if have.Ours {
			return "not wanted"
		}
		return ""
	}
	want := desired[i]
	switch {
	case want.Kind != have.Kind:
		return fmt.Sprintf("a %s is to have the name", want.Kind)
	case want.Kind == Bond && want.BondMode != have.BondMode:
		return fmt.Sprintf("mode %s cannot become %s in place", have.BondMode, want.BondMode)
	case want.Kind == VLAN && want.VLANID != have.VLANID:
		return fmt.Sprintf("id %d cannot become %d in place", have.VLANID, want.VLANID)
	case want.Kind == VLAN && want.Parent != after(have.Parent):
		return fmt.Sprintf("parent %s cannot become %s in place", have.Parent, want.Parent)
	}
	return ""
}

// rename orders the moves so that no name is taken when it is needed: links
// in the way that nobody wants move aside, and circles go through a spare name.
func (p *linkPlan) rename(observed []Link, moves map[string]string) {
	present := make(map[string]Link) // by present name
	for _, l := range observed {
		if !p.gone[l.Name] {
			present[l.Name] = l
			p.renamed[l.Name] = l.Name
		}
	}
	pending := make(map[string]string)
	for from, to := range moves {
		if from != to {
			pending[from] = to
		}
	}
	for _, from := range slices.Sorted(maps.Keys(pending)) {
		blocker, taken := present[pending[from]]
		if _, moving := pending[blocker.Name]; taken && !moving {
			p.move(blocker.Name, blocker.Name, spareName(blocker))
			delete(present, blocker.Name)
		}
	}
	current := make(map[string]string) // source: name it has while under way
	for from := range pending {
		current[from] = from
	}
	for len(pending) > 0 {
		from, free := nextMove(pending, current)
		if !free {
			spare := spareName(present[from])
			p.move(from, current[from], spare)
			current[from] = spare
			continue
		}
		p.move(from, current[from], pending[from])
		delete(pending, from)
		delete(current, from)
	}
}

// nextMove picks a move whose target no pending link holds; without one, the
// first of the circle and false.
func nextMove(pending, current map[string]string) (from string, free bool) {
	held := make(map[string]bool)
	for source := range pending {
		held[current[source]] = true
	}
	sources := slices.Sorted(maps.Keys(pending))
	for _, source := range sources {
		if !held[pending[source]] {
			return source, true
		}
	}
	return sources[0], false
}

// move renames the link that was named origin when the kernel was observed.
func (p *linkPlan) move(origin, from, to string) {
	p.arrange = append(p.arrange, renameLink{from: from, to: to})
	p.renamed[origin] = to
	delete(p.fresh, from)
	p.fresh[to] = true
}

// spareName is free on any machine: it holds the kernel's number of the link.
func spareName(l Link) string { return fmt.Sprintf("was%d", l.Index) }

// afterArrange gives the observed links by the names they have after renaming,
// without deleted ones.
func (p *linkPlan) afterArrange(observed []Link) map[string]Link {
	have := make(map[string]Link)
	for _, l := range observed {
		if p.gone[l.Name] {
			continue
		}
		l.Name = p.renamed[l.Name]
		l.Parent = cmp.Or(p.renamed[l.Parent], l.Parent)
		l.BondMembers = slices.Clone(l.BondMembers)
		for i, member := range l.BondMembers {
			l.BondMembers[i] = cmp.Or(p.renamed[member], member)
		}
		have[l.Name] = l
	}
	for _, l := range observed {
		if !p.gone[l.Name] || l.Kind != Bond {
			continue
		}
		for _, member := range l.BondMembers {
			if released, ok := have[p.renamed[member]]; ok {
				released.Up = false // as in release
				have[released.Name] = released
			}
		}
	}
	return have
}

// make creates a VLAN or bond that does not exist, and marks it as ours.
func (p *linkPlan) make(want Link, have map[string]Link) {
	if want.Kind != VLAN && want.Kind != Bond {
		return
	}
	if exists, ok := have[want.Name]; ok {
		switch {
		case exists.Kind != want.Kind:
			p.arrange = append(p.arrange, missingLink{want: want, reason: fmt.Errorf("the machine has a %s link of that name", exists.Kind)})
		case !exists.Ours:
			p.arrange = append(p.arrange, markLink{want.Name})
		}
		return
	}
	if want.Kind == VLAN {
		if !p.exists[want.Parent] {
			return // the parent's absence is reported already
		}
		p.arrange = append(p.arrange, addVLAN{want})
	} else {
		p.arrange = append(p.arrange, addBond{want})
	}
	p.arrange = append(p.arrange, markLink{want.Name})
	p.exists[want.Name], p.fresh[want.Name] = true, true
}

// settleLink brings an existing or just made link to the wanted settings.
func (p *linkPlan) settleLink(want Link, have map[string]Link, desired []Link) {
	if !p.exists[want.Name] {
		return
	}
	now, existed := have[want.Name]
	if existed && now.Kind != want.Kind && (want.Kind == VLAN || want.Kind == Bond) {
		return // reported by make
	}
	if want.Kind == Bond {
		p.settleBond(want, now, existed, have)
	}
	bond, member := bondOf(want.Name, desired)
	if want.AnyInside != now.AnyInside && want.Name == ip6Tunnel {
		p.settle = append(p.settle, setInside{any: want.AnyInside})
	}
	if want.MTU != 0 && now.MTU != want.MTU && !member {
		p.settle = append(p.settle, setMTU{link: want.Name, mtu: want.MTU})
	}
	if member && !slices.Contains(have[bond].BondMembers, want.Name) {
		return // joining the bond brings it up
	}
	if !now.Up {
		p.settle = append(p.settle, setLink{link: want.Name, action: "up"})
	}
}

// leavers are the links that leave a bond and join no other.
func leavers(desired []Link, have map[string]Link) []string {
	var names []string
	for _, want := range desired {
		if want.Kind != Bond {
			continue
		}
		for _, member := range have[want.Name].BondMembers {
			if _, joins := bondOf(member, desired); !joins {
				names = append(names, member)
			}
		}
	}
	return names
}

// split puts the links that leave a bond, and what stands on them, behind the
// others: a bond has its new members before it loses old ones.
func split(desired []Link, leavers []string) (sooner, later []Link) {
	behind := slices.Clone(leavers)
	for _, l := range desired {
		if slices.Contains(behind, l.Name) || slices.Contains(behind, l.Parent) {
			behind = append(behind, l.Name)
			later = append(later, l)
		} else {
			sooner = append(sooner, l)
		}
	}
	return sooner, later
}

// release makes links leave their bond, which closes them (bond_main.c,
// __bond_release_one).
func (p *linkPlan) release(desired []Link, have map[string]Link) {
	for _, name := range leavers(desired, have) {
		p.settle = append(p.settle, setLink{link: name, action: "nomaster"})
		released := have[name]
		released.Up = false
		have[name] = released
	}
}

// settleBond lets members join, and changes a bond's monitoring.
func (p *linkPlan) settleBond(want, now Link, existed bool, have map[string]Link) {
	if existed && want.BondMIIMon != now.BondMIIMon {
		p.settle = append(p.settle, setMIIMon{bond: want.Name, interval: want.BondMIIMon})
	}
	for _, member := range want.BondMembers {
		if slices.Contains(now.BondMembers, member) || !p.exists[member] {
			continue
		}
		if have[member].Up {
			p.settle = append(p.settle, setLink{link: member, action: "down"})
		}
		p.settle = append(p.settle, joinBond{member: member, bond: want.Name})
	}
}

// bondOf finds the desired bond that a link is a member of.
func bondOf(name string, desired []Link) (bond string, member bool) {
	for _, l := range desired {
		if l.Kind == Bond && slices.Contains(l.BondMembers, name) {
			return l.Name, true
		}
	}
	return "", false
}

// carry gives the observed state as it is after arrange: with new names, and
// without what goes with deleted links.
func (p *linkPlan) carry(observed State) State {
	after := observed
	after.Addresses = nil
	for _, a := range observed.Addresses {
		if !p.gone[a.Link] {
			a.Link = p.renamed[a.Link]
			after.Addresses = append(after.Addresses, a)
		}
	}
	after.Routes = nil
	for _, r := range observed.Routes {
		if !p.gone[r.Link] {
			r.Link = p.renamed[r.Link]
			after.Routes = append(after.Routes, r)
		}
	}
	return after
}

// reachable gives the desired state without what hangs on missing links.
func (p *linkPlan) reachable(desired State) State {
	desired.Sysctls = slices.DeleteFunc(slices.Clone(desired.Sysctls), func(s Sysctl) bool {
		link := sysctlLink(s.Path)
		return link != "" && !p.exists[link]
	})
	desired.Addresses = slices.DeleteFunc(slices.Clone(desired.Addresses), func(a Address) bool {
		return !p.exists[a.Link]
	})
	desired.Routes = slices.DeleteFunc(slices.Clone(desired.Routes), func(r Route) bool {
		return r.Link != "" && !p.exists[r.Link]
	})
	return desired
}
