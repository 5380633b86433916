package appliance

import (
	"dipper/appliance/api"
	"dipper/appliance/network"
)

// report tells the board how reconciling went.
func (r *reconciler) report(want desired, err error) {
	failing := make(map[string]bool)
	for _, line := range lines(err) {
		if failing[line] = true; !r.failing[line] {
			r.log.Error("reconcile: " + line)
		}
	}
	r.failing = failing
	r.gate.admit(r.in.config, want.network)
	r.board.update(func(s *api.Status) {
		s.Edits = r.edits
		s.Addresses, s.VIPs = addresses(want.network)
		if r.in.config == nil {
			return // maintenance says itself why
		}
		s.State, s.Problems, s.Advice = api.Serving, nil, nil
		s.Role, s.Hostname = string(r.in.config.Role), r.in.config.Hostname
		if err != nil {
			s.State, s.Problems = api.Degraded, lines(err)
		}
	})
}

// addresses splits a state's addresses into own ones and VIPs.
func addresses(state network.State) (own, vips []string) {
	for _, a := range state.Addresses {
		if a.VIP {
			vips = append(vips, a.Prefix.Addr().String())
		} else {
			own = append(own, a.Prefix.String()+" "+a.Link)
		}
	}
	return own, vips
}

// lines are a tree of joined errors, one line each.
func lines(err error) []string {
	var all []string
	for _, e := range each(err) {
		all = append(all, e.Error())
	}
	return all
}

// each flattens a tree of joined errors; nil has none.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}
