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
	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
	"dipper/appliance/ipvsadm"
)

// ipvsadm carries out a command line of ipvsadm on the running configuration.
func (b *backend) ipvsadm(ctx context.Context, argv []string, in io.Reader, out, errOut io.Writer) (int, error) {
	names := &hostNames{ctx: ctx}
	// The rules are read before the reconciler is asked: it waits for nobody.
	command, err := ipvsadm.Parse(argv, names)
	if err == nil && command.Kind == ipvsadm.Restore {
		rules, err := b.memory.readRules(in)
		if err != nil {
			return 0, err
		}
		in = bytes.NewReader(rules)
	}
	return ipvsadm.Run(ctx, tableEditor{b.reconciler}, names, argv, in, out, errOut), nil
}

// tableEditor is the machine that ipvsadm's commands are about. What it lists
// is the kernel's; what it edits is the running configuration.
type tableEditor struct{ *reconciler }

var _ ipvsadm.Director = tableEditor{}

// kernel answers the table of a machine that is a director.
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

func (e tableEditor) Services(ctx context.Context) ([]ipvs.ServiceStatistics, error) {
	table, err := e.kernel()
	if err != nil {
		return nil, err
	}
	return table.Services(ctx)
}

func (e tableEditor) RealServers(ctx context.Context, services []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error] {
	table, err := e.kernel()
	if err != nil {
		return func(yield func(*ipvs.ServiceStatistics, error) bool) { yield(nil, err) }
	}
	return table.RealServers(ctx, services)
}

func (e tableEditor) StatisticsOf(ctx context.Context, service ipvs.Key) (ipvs.ServiceStatistics, bool, error) {
	table, err := e.kernel()
	if err != nil {
		return ipvs.ServiceStatistics{}, false, err
	}
	return table.StatisticsOf(ctx, service)
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
	asked := ctx
	_, err = submit(ctx, e.reconciler, func(ctx context.Context) (plan, error) {
		edit, zeroed, err := e.edited(change)
		if err == nil {
			err = allow(asked, editorRole(edit == nil))
		}
		if err != nil {
			return plan{}, err
		}
		var p plan
		if edit != nil {
			if p, err = e.change(ctx, edit); err != nil {
				return p, inItsWords(err)
			}
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
// an edit of the intent, nil when counters alone are to be zeroed, and which.
func (r *reconciler) edited(change func(*ipvsadm.Editor) error) (func(*intent), []*ipvs.Key, error) {
	want := desire(r.in, &r.made)
	before := ipvsadm.State{Table: *want.table, Timeouts: want.control.Timeouts, Daemons: want.control.Daemons}
	editor := ipvsadm.NewEditor(before)
	if err := change(editor); err != nil {
		return nil, nil, err
	}
	after := editor.State()
	beside := control{after.Timeouts, after.Daemons}
	ops, same := editor.Ops(), reflect.DeepEqual(want.control, beside)
	if len(ops) == 0 && same {
		if len(editor.Zeroed) > 0 {
			return nil, editor.Zeroed, nil // mends nothing that others did
		}
		return func(*intent) {}, nil, nil
	}
	edit, err := r.merge(after.Table, beside)
	if err != nil {
		return nil, nil, err
	}
	present := r.in.text
	typed, sayable := rulesOf(ops, r.in.config)
	return func(in *intent) {
		edit(in)
		if same && sayable {
			in.text.after, in.text.rules = present, typed
		}
	}, editor.Zeroed, nil
}

// merge answers an edit of the intent that makes a table, and what is beside
// it, part of the running configuration. The verbs of operators stay in force
// where the table is as they made it. What no configuration can say is refused.
func (r *reconciler) merge(table ipvs.Table, beside control) (func(*intent), error) {
	before := r.in.verbs.of(r.in.config)
	same := reflect.DeepEqual(controlOf(before.IPVS), beside)
	if !same {
		copied := *before
		copied.IPVS = beside.adopted(before.IPVS)
		before = &copied
	}
	adopted, err := r.made.Adopt(before, table)
	if err != nil {
		return nil, unsayable(err)
	}
	base, kept := r.in.verbs.lift(r.in.config, adopted)
	if !same {
		if err := director.CheckSync(base); err != nil {
			return nil, unsayable(err)
		}
	}
	text := r.in.text.edited(r.in.config, base)
	return func(in *intent) {
		configure(in.source, text, base)(in)
		in.verbs = kept
	}, nil
}

func unsayable(why error) error {
	return &api.Error{Message: "no configuration can say this", Details: lines(why)}
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
