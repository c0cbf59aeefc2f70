//go:build !linux

package lab

import "syscall"

// dieWithParent has no way to do that here, where the tools are missing anyway.
func dieWithParent() *syscall.SysProcAttr { return nil }
