package network

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Multicast groups of rtnetlink, as a bitmask (uapi/linux/rtnetlink.h).
const (
	linkGroup     = 1 << (unix.RTNLGRP_LINK - 1)
	addressGroups = 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)
	routeGroups   = 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)
)

// Watch tells of changes to links, addresses and routes, our own included. It
// says only that something changed: changes that come while the last notice
// was not taken are one notice. The channel is closed when ctx ends or the
// kernel stops telling.
func (k *Kernel) Watch(ctx context.Context) (<-chan struct{}, error) {
	return watch(ctx, linkGroup|addressGroups|routeGroups)
}

func watch(ctx context.Context, groups uint32) (<-chan struct{}, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, fmt.Errorf("network: watch: %w", err)
	}
	changed := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() {
		_ = conn.Close() // ends Receive; there is nothing to lose
	})
	go func() {
		defer close(changed)
		defer stop()
		for {
			_, err := conn.Receive()
			// ENOBUFS: notices were lost, which is a notice too.
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				_ = conn.Close() // closed already, or broken
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
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
