# Where the commands of one recipe are run: hosts called sender, receiver and jump that are all this machine, with a network, a
# home and processes of their own, so that ports are free, nothing is touched outside, and nothing is left behind.
# Called by `unshare` as: stage.sh FOLDER SCRIPT, with the folder of the program first in PATH. Knows no recipe.
set -euo pipefail
folder=$1 script=$2

ip link set lo up
printf '127.0.0.1 localhost sender receiver jump\n' > "$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts
mkdir "$folder/home"
mount --bind "$folder/home" /root
export HOME=/root
cd
VIAMILLIPEDE_KEY=$(viamillipede keygen)
export VIAMILLIPEDE_KEY

# An sshd on port 22 whom root's own key opens, and where the program is found.
serve_ssh() {
    mkdir -p .ssh /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519
    ssh-keygen -q -t ed25519 -N '' -f .ssh/host
    cp .ssh/id_ed25519.pub .ssh/authorized_keys
    printf 'StrictHostKeyChecking accept-new\nLogLevel ERROR\nBatchMode yes\n' > .ssh/config
    printf '%s\n' 'ListenAddress 127.0.0.1' 'HostKey /root/.ssh/host' 'PidFile none' 'UsePAM no' \
        'StrictModes no' 'PermitRootLogin yes' "SetEnv PATH=$PATH" > .ssh/sshd
    /usr/sbin/sshd -f /root/.ssh/sshd # it returns once it listens
}

. "$script"
