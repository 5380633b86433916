package ipvs

import "errors"

// opErrors are those that an error of Apply joins.
func opErrors(err error) []*OpError {
	var all []*OpError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, opErrors(e)...)
		}
		return all
	}
	if one := (*OpError)(nil); errors.As(err, &one) {
		all = append(all, one)
	}
	return all
}
