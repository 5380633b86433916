package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
	"dipper/appliance/ipvsadm"
)

// maxRules bounds what ipvsadm -R reads, in bytes: some 500,000 rules.
const maxRules = 64 << 20

// ipvsadm carries out a command line of ipvsadm on the running configuration.
func (b *backend) ipvsadm(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	names := &hostNames{ctx: ctx}
	// The rules are read before the reconciler is asked: it waits for nobody.
	command, err := ipvsadm.Parse(argv, names)
	if err == nil && command.Kind == ipvsadm.Restore {
		rules, err := io.ReadAll(io.LimitReader(in, maxRules+1))
		if err != nil {
			return 0, fmt.Errorf("ipvsadm -R: %w", err)
		}
		if len(rules) > maxRules {
			return 0, &api.Error{Message: fmt.Sprintf("ipvsadm -R: more than %d bytes of rules", maxRules)}
		}
		in = bytes.NewReader(rules)
	}
	return ipvsadm.Run(ctx, tableEditor{b.reconciler}, names, argv, in, out, errOut), nil
}

// tableEditor is the machine that ipvsadm's commands are about. What it lists
// is the kernel's; what it edits is the running configuration.
type tableEditor struct{ *reconciler }

var _ ipvsadm.Director = tableEditor{}

// table answers the kernel's table on a machine that is a director.
func (e tableEditor) kernel() (TableKernel, error) {
	in, err := e.configured()
	if err != nil {
		return nil, err
	}
	if in.config.Role != config.RoleDirector {
		return nil, &api.Error{Message: fmt.Sprintf("this machine is a %s: only a director has a table of virtual services", in.config.Role)}
	}
	return e.table.get()
}

func (e tableEditor) Info(ctx context.Context) (ipvs.Info, error) {
	table, err := e.kernel()
	if err != nil {
		return ipvs.Info{}, err
	}
	return table.Info(ctx)
}

func (e tableEditor) Statistics(ctx context.Context) ([]ipvs.ServiceStatistics, error) {
	table, err := e.kernel()
	if err != nil {
		return nil, err
	}
	return table.Statistics(ctx)
}

func (e tableEditor) Timeouts(ctx context.Context) (ipvs.Timeouts, error) {
	table, err := e.kernel()
	if err != nil {
		return ipvs.Timeouts{}, err
	}
	return table.Timeouts(ctx)
}

func (e tableEditor) Daemons(ctx context.Context) ([]ipvs.Daemon, error) {
	table, err := e.kernel()
	if err != nil {
		return nil, err
	}
	return table.Daemons(ctx)
}

func (e tableEditor) Connections(ctx context.Context) iter.Seq2[ipvs.Connection, error] {
	table, err := e.kernel()
	if err != nil {
		return func(yield func(ipvs.Connection, error) bool) { yield(ipvs.Connection{}, err) }
	}
	return table.Connections(ctx, ipvs.ConnectionFilter{})
}

// Edit makes the edits part of the running configuration: as a whole, or not
// at all.
func (e tableEditor) Edit(ctx context.Context, change func(*ipvsadm.Editor) error) error {
	table, err := e.kernel()
	if err != nil {
		return err
	}
	_, err = submit(ctx, e.reconciler, func(ctx context.Context) (plan, error) {
		edit, zeroed, err := e.edited(change)
		if err != nil {
			return plan{}, err
		}
		p, err := e.change(ctx, edit)
		if err != nil {
			return p, err
		}
		var errs []error
		for _, key := range zeroed {
			errs = append(errs, table.Zero(ctx, key))
		}
		return p, errors.Join(errs...)
	})
	return err
}

// edited carries out change on what is in force, and answers what it comes to:
// an edit of the intent, and which counters are to be zeroed.
func (r *reconciler) edited(change func(*ipvsadm.Editor) error) (func(*intent), []*ipvs.Key, error) {
	want := desire(r.in)
	before := ipvsadm.State{Table: *want.table, Timeouts: want.control.Timeouts, Daemons: want.control.Daemons}
	editor := ipvsadm.NewEditor(before)
	if err := change(editor); err != nil {
		return nil, nil, err
	}
	after := editor.State()
	beside := control{after.Timeouts, after.Daemons}
	if len(ipvs.Plan(before.Table, after.Table)) == 0 && reflect.DeepEqual(want.control, beside) {
		return func(*intent) {}, editor.Zeroed, nil
	}
	edit, err := r.merge(after.Table, beside)
	return edit, editor.Zeroed, err
}

// merge answers an edit of the intent that makes a table, and what is beside
// it, part of the running configuration. The verbs of operators stay in force
// where the table is as they made it.
func (r *reconciler) merge(table ipvs.Table, beside control) (func(*intent), error) {
	adopted, err := director.Adopt(r.in.verbs.of(r.in.config), table)
	if err != nil {
		return nil, &api.Error{Message: "no configuration can say this", Details: lines(err)}
	}
	adopted.IPVS = beside.adopted(adopted.IPVS)
	base, kept := r.in.verbs.lift(r.in.config, adopted)
	yaml, cfg, err := r.in.rewritten(base)
	if err != nil {
		return nil, err
	}
	return func(in *intent) {
		configure(in.source, yaml, cfg)(in)
		in.verbs = kept
	}, nil
}

// rewritten writes next as YAML: with the comments of what is running, if there
// are any, and otherwise with every default said. The configuration that it
// answers is what was read back.
func (in intent) rewritten(next *config.Config) ([]byte, *config.Config, error) {
	if bytes.ContainsRune(in.yaml, '#') {
		yaml, err := in.edited(next)
		if err == nil {
			cfg, err := config.Parse("running configuration", yaml)
			if err == nil && len(config.Diff(cfg, next)) == 0 {
				return yaml, cfg, nil
			}
		}
	}
	yaml := config.Render(next)
	cfg, err := config.Parse("running configuration", yaml)
	if err != nil {
		return nil, nil, refusal(err)
	}
	return yaml, cfg, nil
}

// edited makes what is running, as it was written, say the same as next, by
// the commands that lead there.
func (in intent) edited(next *config.Config) ([]byte, error) {
	var docs [3]*candidate.Document
	for i, yaml := range [][]byte{in.yaml, config.Render(in.config), config.Render(next)} {
		doc, err := candidate.Parse("running configuration", yaml)
		if err != nil {
			return nil, err
		}
		docs[i] = doc
	}
	written, before, after := docs[0], docs[1], docs[2]
	commands := candidate.Changes(candidate.View{Secrets: true}, before, after)
	if err := written.Run("edits", strings.Join(commands, "\n")); err != nil {
		return nil, err
	}
	return written.YAML(), nil
}

// resolvePatience is how long all names of one command may take together.
const resolvePatience = 3 * time.Second

// hostNames resolves the names of hosts for one command.
type hostNames struct {
	ctx   context.Context
	until time.Time // zero: nothing was asked yet
	hosts map[netip.Addr]string
}

var _ ipvsadm.Names = (*hostNames)(nil)

// Address implements ipvsadm.Names.
func (n *hostNames) Address(host string) (netip.Addr, error) {
	ctx, cancel := n.limit()
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return found[0].Unmap(), nil
}

// Host implements ipvsadm.Names. An address whose name nobody tells in time has
// none.
func (n *hostNames) Host(a netip.Addr) string {
	if name, known := n.hosts[a]; known {
		return name
	}
	ctx, cancel := n.limit()
	defer cancel()
	name := ""
	if found, err := net.DefaultResolver.LookupAddr(ctx, a.String()); err == nil && len(found) > 0 {
		name = strings.TrimSuffix(found[0], ".")
	}
	if n.hosts == nil {
		n.hosts = make(map[netip.Addr]string)
	}
	n.hosts[a] = name
	return name
}

func (n *hostNames) limit() (context.Context, context.CancelFunc) {
	if n.until.IsZero() {
		n.until = time.Now().Add(resolvePatience)
	}
	return context.WithDeadline(n.ctx, n.until)
}
