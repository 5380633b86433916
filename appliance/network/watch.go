package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Multicast groups of rtnetlink, as a bitmask (uapi/linux/rtnetlink.h).
const (
	linkGroup     = 1 << (unix.RTNLGRP_LINK - 1)
	addressGroups = 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)
	routeGroups   = 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)
)

// watchPause is how long a watch waits after netlink failed.
const watchPause = time.Second

// Watch tells of changes to links, addresses and routes, our own included. It
// says only that something changed: changes that come while the last notice
// was not taken are one notice. The channel is closed when ctx ends.
func (k *Kernel) Watch(ctx context.Context) (<-chan struct{}, error) {
	return watch(ctx, linkGroup|addressGroups|routeGroups)
}

func watch(ctx context.Context, groups uint32) (<-chan struct{}, error) {
	conn, err := subscribe(groups)
	if err != nil {
		return nil, err
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		for {
			if conn != nil {
				notify(ctx, conn, changed)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(watchPause):
			}
			// Not reported: it is tried again, and the error at the start was.
			if conn, err = subscribe(groups); err != nil {
				conn = nil
			}
			tell(changed) // of what was missed
		}
	}()
	return changed, nil
}

func subscribe(groups uint32) (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, fmt.Errorf("network: watch: %w", err)
	}
	return conn, nil
}

// notify tells of messages until ctx ends or the socket fails, and closes it.
func notify(ctx context.Context, conn *netlink.Conn, changed chan<- struct{}) {
	closeConn := func() {
		_ = conn.Close() // ends Receive; there is nothing to lose
	}
	stop := context.AfterFunc(ctx, closeConn)
	defer func() {
		if stop() {
			closeConn()
		}
	}()
	for {
		_, err := conn.Receive()
		// ENOBUFS: messages were lost, which is a notice too.
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		tell(changed)
	}
}

func tell(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default: // the last notice is not taken yet
	}
}

// watchCarrier tells whether a link exists, is up and has a carrier: at once,
// and then whenever that changes, until ctx ends. States that were not taken
// in time are skipped.
func watchCarrier(ctx context.Context, link string) (<-chan bool, error) {
	changed, err := watch(ctx, linkGroup)
	if err != nil {
		return nil, err
	}
	states := make(chan bool)
	go func() {
		state, told := hasCarrier(link), false
		for {
			tell := states
			if told {
				tell = nil
			}
			select {
			case tell <- state:
				told = true
			case _, open := <-changed:
				if !open {
					close(states)
					return
				}
				if now := hasCarrier(link); now != state {
					state, told = now, false
				}
			}
		}
	}()
	return states, nil
}

func hasCarrier(link string) bool {
	found, err := net.InterfaceByName(link)
	return err == nil && found.Flags&net.FlagUp != 0 && found.Flags&net.FlagRunning != 0
}
