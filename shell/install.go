package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"dipper/appliance/api"
	"dipper/shell/setup"
	"dipper/shell/web"
)

// Installer is what the first configuration needs of the control socket.
type Installer interface {
	Files
	Interfaces(ctx context.Context) ([]api.Interface, error)
}

// install asks the questions of package setup and commits what comes of them.
// ^C ends it without a change. The error is the terminal's.
func install(ctx context.Context, screen *term.Terminal, c Installer) error {
	links, err := c.Interfaces(ctx)
	if err != nil {
		links = nil // asked for by name, then
	}
	defer screen.SetPrompt("")
	flow := setup.New(usable(links))
	if _, err := io.WriteString(screen, "\nThe first configuration. ^C leaves it; nothing is changed before the end.\n"); err != nil {
		return err
	}
	if err := ask(ctx, screen, flow); err != nil {
		return ignoreEOF(err)
	}
	return ignoreEOF(confirmAndCommit(ctx, screen, c, flow))
}

// usable are the network cards: what has an address of its own. The kernel's
// tunnels have none, and are no place for a first address.
func usable(links []api.Interface) []setup.Interface {
	var out []setup.Interface
	for _, l := range links {
		if l.MAC != "" {
			out = append(out, setup.Interface{Name: l.Name, Carrier: l.Carrier, Addresses: slices.Clone(l.Addresses)})
		}
	}
	return out
}

// ask puts the questions until there are none.
func ask(ctx context.Context, screen *term.Terminal, flow *setup.Flow) error {
	for {
		q, ok := flow.Next()
		if !ok {
			return nil
		}
		text, err := put(screen, q)
		if err != nil {
			return err
		}
		err = flow.Answer(text)
		var fetch *setup.FetchError
		if errors.As(err, &fetch) {
			if text, err = web.Text(ctx, fetch.URL, fetchPatience, maxFetched); err == nil {
				err = flow.Answer(text)
			}
		}
		if err != nil {
			if _, err := fmt.Fprintf(screen, "  %s\n", printable(err.Error())); err != nil {
				return err
			}
		}
	}
}

// put shows one question and reads the answer.
func put(screen *term.Terminal, q setup.Question) (string, error) {
	if q.Hint != "" {
		if _, err := fmt.Fprintf(screen, "\n%s\n", q.Hint); err != nil {
			return "", err
		}
	}
	prompt := q.Text
	if q.Default != "" {
		prompt += " [" + q.Default + "]"
	}
	if q.Secret {
		return screen.ReadPassword(prompt + ": ")
	}
	screen.SetPrompt(prompt + ": ")
	return screen.ReadLine()
}

func confirmAndCommit(ctx context.Context, screen *term.Terminal, c Installer, flow *setup.Flow) error {
	if _, err := fmt.Fprintf(screen, "\n%s\n", flow.Shown()); err != nil {
		return err
	}
	screen.SetPrompt("Commit this? [yes]: ")
	text, err := screen.ReadLine()
	if err != nil {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(text)); answer != "" && !strings.HasPrefix("yes", answer) {
		_, err := io.WriteString(screen, "Nothing was changed.\n")
		return err
	}
	if err := commitText(ctx, c, flow.Config(), "first configuration"); err != nil {
		_, err = fmt.Fprintf(screen, "%v\n", err)
		return err
	}
	_, err = io.WriteString(screen, "Committed.\n")
	return err
}

// Bounds of what a URL may answer.
const (
	fetchPatience = 15 * time.Second
	maxFetched    = 64 << 10 // bytes
)
