package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"dipper/appliance/api"
	"dipper/qemu/peer"
	"dipper/qemu/peer/call"
)

// awaitPeer waits for the agent and makes the peer what it is.
func (m *Member) awaitPeer(ctx context.Context, _ *Cluster) error {
	conn, err := m.machine.Dial(ctx, call.Port)
	if err != nil {
		return err
	}
	m.peer, err = peer.Connect(ctx, m.node.Name, conn)
	if err != nil {
		return fmt.Errorf("the agent does not answer: %w", err)
	}
	if _, err := m.peer.Run(ctx, m.node.Script); err != nil {
		return fmt.Errorf("its script: %w", err)
	}
	return nil
}

// statusInterval is how often an appliance that starts is asked.
const statusInterval = 200 * time.Millisecond

// awaitAppliance waits until the control plane says that the machine is up.
func (m *Member) awaitAppliance(ctx context.Context, c *Cluster) error {
	socket := filepath.Join(c.run, m.node.Name+controlSocket)
	control, err := serveControl(c.ctx, m.machine, socket)
	if err != nil {
		return err
	}
	m.control = control
	c.serving.Go(control.wait)
	m.client = api.NewClient(socket)
	wanted := m.node.Ready
	if len(wanted) == 0 {
		wanted = []api.State{api.Serving}
	}
	// The first question is put before there is anybody to answer, and must
	// not be put twice: both would be answered.
	_, err = m.awaitState(ctx, wanted, c.options.Patience)
	return err
}

// awaitState waits for each answer as long as patience.
func (m *Member) awaitState(ctx context.Context, wanted []api.State, patience time.Duration) (api.Status, error) {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	for {
		status, err := m.status(ctx, patience)
		if err == nil && slices.Contains(wanted, status.State) {
			return status, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return status, fmt.Errorf("%s: not in state %v but %+v: %w", m.node.Name, wanted, status, errors.Join(ctx.Err(), err))
		}
	}
}

func (m *Member) status(ctx context.Context, patience time.Duration) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return m.client.Status(ctx)
}

// statusPatience is how long one answer of a machine that is up is waited for.
// Who was asked may have died meanwhile; the next one answers.
const statusPatience = 10 * time.Second

// AwaitState waits until an appliance is in one of the states, for those who
// changed something.
func (c *Cluster) AwaitState(ctx context.Context, name string, states ...api.State) (api.Status, error) {
	return c.member(name).awaitState(ctx, states, statusPatience)
}
