package appliance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"dipper/appliance/api"
	"dipper/appliance/config"
	"dipper/appliance/events"
)

// Save makes what is in force the saved configuration.
func (b *backend) Save(ctx context.Context, comment string) (api.Revision, error) {
	if err := cmp.Or(mayConfigure(ctx), checkComment(comment)); err != nil {
		return api.Revision{}, err
	}
	actor := api.ActorOf(ctx)
	return submit(ctx, b.reconciler, func(ctx context.Context) (api.Revision, error) {
		r := b.reconciler
		ctx = api.WithActor(ctx, actor)
		switch {
		case r.in.config == nil:
			return api.Revision{}, errNoConfiguration()
		case r.pending != nil:
			return api.Revision{}, &api.Error{Message: "an unconfirmed commit is running: confirm it, or revert it, before saving"}
		}
		var revision api.Revision
		doc, err := b.documentInForce(r.in)
		switch {
		case err != nil:
		case len(r.in.verbs.forGood()) > 0:
			revision, err = b.keep(ctx, doc.YAML(), nil, comment, "save")
		default:
			revision, err = b.keepRunning(ctx, comment, "save")
		}
		if err != nil {
			return revision, err
		}
		r.in.source = fmt.Sprintf("revision %d", revision.Number)
		r.publish()
		revision.Notes = strings.Join(r.in.savedWeights(), "\n")
		r.events.Add(ctx, events.Commit, "revision %d saved by %s%s", revision.Number, who(ctx), quoted(comment))
		return revision, nil
	})
}

// savedWeights tells of real servers that are saved with the weight that an
// operator gave them, and not as they are configured.
func (in intent) savedWeights() []string {
	lasting := in.verbs.forGood()
	var all []string
	for _, id := range slices.SortedFunc(maps.Keys(lasting), serverID.compare) {
		if r, there := findServer(in.config, id); there && r.Weight != lasting[id].weight() {
			all = append(all, fmt.Sprintf("%s of %s is %s, and saved so: after the next boot it is configured with weight %d instead of %d",
				id, id.Service, lasting[id].reason(), lasting[id].weight(), r.Weight))
		}
	}
	if more := len(all) - namesSaid; more > 0 {
		all = append(all[:namesSaid], fmt.Sprintf("and %d more", more))
	}
	return all
}

// isText tells whether the running configuration was written so.
func (in intent) isText(yaml []byte) (bool, error) {
	if in.config == nil {
		return false, nil
	}
	running, err := in.text.text()
	return bytes.Equal(yaml, running), err
}

// keepRunning adds what runs as a revision.
func (b *backend) keepRunning(ctx context.Context, comment, via string) (api.Revision, error) {
	yaml, err := b.memory.text(b.reconciler.in.text)
	if err != nil {
		return api.Revision{}, err
	}
	return b.keep(ctx, yaml, b.reconciler.in.config, comment, via)
}

// keep adds a revision; cfg is what yaml says, nil if nobody knows yet. The
// very first revision is what the machine booted with, so that there is a way
// back to it.
func (b *backend) keep(ctx context.Context, yaml []byte, cfg *config.Config, comment, via string) (api.Revision, error) {
	if len(b.shelf.revisions()) == 0 {
		source, boot, found, err := b.running.loadBoot()
		if err == nil && found {
			_, err = b.shelf.add(boot, api.Revision{Time: b.events.Now(), Via: "boot: " + source})
		}
		if err != nil {
			return api.Revision{}, err
		}
	}
	actor := api.ActorOf(ctx)
	revision, err := b.shelf.add(yaml, api.Revision{
		Time: b.events.Now(), User: actor.User, Fingerprint: actor.Fingerprint, Comment: comment, Via: via,
	})
	if err == nil {
		b.reconciler.saved = parsedOr(cfg, yaml)
	}
	return revision, err
}

// saved is what the machine boots with: the youngest revision, else what its
// boot source gave; nil without either.
func (b *backend) saved() ([]byte, error) {
	yaml, err := b.shelf.saved()
	if yaml != nil || err != nil {
		return yaml, err
	}
	_, yaml, _, err = b.running.loadBoot()
	return yaml, err
}

// Revisions lists those that are kept, the youngest first.
func (b *backend) Revisions(context.Context) ([]api.Revision, error) { return b.shelf.revisions(), nil }

// FormatState makes the state volume on a disk.
func (b *backend) FormatState(ctx context.Context, device string, overwrite bool) error {
	if err := mayConfigure(ctx); err != nil {
		return err
	}
	if err := b.shelf.format(ctx, device, overwrite); err != nil {
		return err
	}
	b.board.update(func(s *api.Status) { s.Volatile = false })
	b.gate.moved()
	b.events.Add(ctx, events.Commit, "state volume made on %s by %s", device, who(ctx))
	return nil
}

// stateVolume says where revisions are kept.
func (b *backend) stateVolume() api.StateVolume { return b.shelf.state() }

// parsedOr is cfg, or what yaml says; nil when nobody can boot with that.
func parsedOr(cfg *config.Config, yaml []byte) *config.Config {
	if cfg == nil && yaml != nil {
		cfg, _ = config.Parse("saved configuration", yaml) // nil with an error
	}
	return cfg
}

// unsaved tells whether what is in force is not what the machine boots with.
func (r *reconciler) unsaved() bool {
	if r.in.config == nil {
		return false
	}
	return r.saved == nil || !sameConfig(r.saved, r.in.verbs.forGood().folded(r.in.config))
}

// sameConfig tells whether two configurations say the same. It is quick where
// they share most of their services, or have them alike.
func sameConfig(a, b *config.Config) bool {
	if a == b {
		return true
	}
	x, y := *a, *b
	x.Services, y.Services = nil, nil
	if len(a.Services) != len(b.Services) || !reflect.DeepEqual(x, y) {
		return false
	}
	for i := range a.Services {
		if !a.Services[i].Shares(&b.Services[i]) && !sameService(a.Services[i], b.Services[i]) {
			return false
		}
	}
	return true
}

func sameService(a, b config.Service) bool {
	if !slices.Equal(a.RealServers, b.RealServers) && !slices.Equal(sorted(a.RealServers), sorted(b.RealServers)) {
		return false
	}
	a.RealServers, b.RealServers = nil, nil
	return reflect.DeepEqual(a, b)
}

// sorted are real servers in one order: theirs says nothing.
func sorted(servers []config.RealServer) []config.RealServer {
	return slices.SortedFunc(slices.Values(servers), func(a, b config.RealServer) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
}

// folded is of as it is saved: a disabled real server is kept with weight 0.
func (v verbs) folded(cfg *config.Config) *config.Config {
	drained := maps.Clone(v)
	for id, verb := range drained {
		if verb.Verb == api.Disable {
			verb.Verb = api.Drain
			drained[id] = verb
		}
	}
	return drained.of(cfg)
}
