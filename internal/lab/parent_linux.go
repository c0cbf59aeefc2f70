package lab

import "syscall"

// dieWithParent makes a process end when this one does: a test that is killed
// leaves nothing behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
