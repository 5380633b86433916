package ipvsadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"dipper/appliance/ipvs"
)

// Director is the machine that commands are about.
type Director interface {
	Info(context.Context) (ipvs.Info, error)
	// Statistics reads the table in the kernel's order.
	Statistics(context.Context) ([]ipvs.ServiceStatistics, error)
	// Services reads the services in the kernel's order, RealServers the real
	// servers of one after the other.
	Services(context.Context) ([]ipvs.ServiceStatistics, error)
	RealServers(context.Context, []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error]
	// StatisticsOf reads one service; found is false when there is none such.
	StatisticsOf(ctx context.Context, service ipvs.Key) (s ipvs.ServiceStatistics, found bool, err error)
	Connections(context.Context) iter.Seq2[ipvs.Connection, error]
	Timeouts(context.Context) (ipvs.Timeouts, error)
	Daemons(context.Context) ([]ipvs.Daemon, error)

	// Edit gives an editor of the present state to change, and puts the
	// changed state, and what is zeroed, into force as a whole. An error of
	// change is returned as it is, and then nothing is done.
	Edit(ctx context.Context, change func(*Editor) error) error
}

// Run carries out a command line, without the program's name, and returns the
// exit status. What it has to say of errors it writes to errors; in is read by
// -R alone.
func Run(ctx context.Context, d Director, names Names, argv []string, in io.Reader, out, errOut io.Writer) int {
	command, err := Parse(argv, names)
	if err == nil {
		err = (&run{d, names, in, out, errOut}).command(ctx, command)
	}
	if err == nil {
		return StatusDone
	}
	// Without a reader of the message there is only the status.
	_, _ = fmt.Fprintf(errOut, "%v\n", err)
	return statusOf(err)
}

func statusOf(err error) int {
	var one *Error
	var restore *RestoreError
	switch {
	case errors.As(err, &one):
		return one.Status
	case errors.As(err, &restore):
		return restore.Status()
	default:
		return StatusRefused
	}
}

type run struct {
	director    Director
	names       Names
	in          io.Reader
	out, errOut io.Writer
}

func (r *run) command(ctx context.Context, c Command) error {
	switch c.Kind {
	case List:
		return r.list(ctx, c.Listing)
	case Save:
		return r.save(ctx, c.Listing)
	case Restore:
		return r.edit(ctx, func(e *Editor) error { return e.Restore(r.in, r.names) })
	case Help, Version:
		info, err := r.director.Info(ctx)
		if err != nil {
			return err
		}
		if c.Kind == Help {
			return PrintUsage(r.out, info.Version)
		}
		return PrintVersion(r.out, info.Version)
	default:
		return r.edit(ctx, func(e *Editor) error { return e.Do(c) })
	}
}

// edit carries out edits, and passes on what there is to remark.
func (r *run) edit(ctx context.Context, change func(*Editor) error) error {
	var notes []string
	err := r.director.Edit(ctx, func(e *Editor) error {
		err := change(e)
		notes = e.Notes
		return err
	})
	if err != nil {
		return err
	}
	for _, note := range notes {
		if _, err := fmt.Fprintf(r.errOut, "note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) list(ctx context.Context, l Listing) error {
	switch l.Subject {
	case ListConnections:
		return l.PrintConnections(r.out, r.director.Connections(ctx), r.names)
	case ListTimeouts:
		timeouts, err := r.director.Timeouts(ctx)
		if err != nil {
			return err
		}
		return l.PrintTimeouts(r.out, timeouts)
	case ListDaemons:
		daemons, err := r.director.Daemons(ctx)
		if err != nil {
			return err
		}
		return l.PrintDaemons(r.out, daemons)
	}
	info, err := r.director.Info(ctx)
	if err != nil {
		return err
	}
	listed, err := r.listed(ctx, l.Service)
	if err != nil {
		return err
	}
	listed.Info = info
	return l.Print(r.out, listed, r.names)
}

// listed reads what is to be listed: one service, of which the kernel has or
// has not one, or all.
func (r *run) listed(ctx context.Context, one *ipvs.Key) (s Snapshot, err error) {
	if one == nil {
		s.Services, err = r.director.Services(ctx)
		s.RealServers = func(services []*ipvs.ServiceStatistics) iter.Seq2[*ipvs.ServiceStatistics, error] {
			return r.director.RealServers(ctx, services)
		}
		return s, err
	}
	service, found, err := r.director.StatisticsOf(ctx, *one)
	if found {
		s.Services = []ipvs.ServiceStatistics{service}
	}
	return s, err
}

func (r *run) save(ctx context.Context, l Listing) error {
	services, err := r.director.Statistics(ctx)
	if err != nil {
		return err
	}
	timeouts, err := r.director.Timeouts(ctx)
	if err != nil {
		return err
	}
	daemons, err := r.director.Daemons(ctx)
	if err != nil {
		return err
	}
	return l.Save(r.out, services, timeouts, daemons, r.names)
}
