package appliance

import (
	"context"
	"fmt"
	"slices"

	"dipper/appliance/api"
)

// programRole is the role that it needs to run a program. Everybody may look at
// the network; what the image has beside that is for administrators. ipvsadm
// is for everybody, and asks again where it edits.
func programRole(program string) api.Role {
	switch program {
	case "ipvsadm", "ping", "traceroute":
		return api.Viewer
	}
	return api.Admin
}

// editorRole is the role that it needs to edit the table in ipvsadm's language:
// counters alone, or more.
func editorRole(countersOnly bool) api.Role {
	if countersOnly {
		return api.Operate
	}
	return api.Admin
}

// shellAlone holds what no user may ask for to the shell itself, which asks on
// nobody's behalf: the host key, and everybody's keys and password hashes.
func shellAlone(ctx context.Context) error {
	if role := api.ActorOf(ctx).Role; role != "" {
		return &api.Error{Message: fmt.Sprintf("this is for the shell itself, and not for the role %s", role)}
	}
	return nil
}

// allow is the second lock behind the shell's: an actor needs a role, or one
// that may do more. Root on the machine itself has no role, and needs none.
func allow(ctx context.Context, need api.Role) error {
	ranks := []api.Role{api.Viewer, api.Operate, api.Admin}
	role := api.ActorOf(ctx).Role
	if role == "" || slices.Index(ranks, role) >= slices.Index(ranks, need) {
		return nil
	}
	return &api.Error{Message: fmt.Sprintf("this needs the role %s, and yours is %s", need, role)}
}
