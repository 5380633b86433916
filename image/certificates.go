package main

import (
	"bytes"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsModule is the module that holds Mozilla's certificates. It is used, and not
// the machine's own bundle, because go.sum pins it: the image does not depend on
// the age of a package of the machine that builds it.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// certificates are the roots that https trusts, as PEM. A root that Mozilla trusts
// only under a condition is left out, because a file cannot hold conditions.
func certificates() ([]byte, error) {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
	}
	return text.Bytes(), nil
}
