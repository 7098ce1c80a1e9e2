BEGIN
    SELECT 'accounts', 'database', COUNT(*) FROM nextcloud.oc_users;
    IF EXISTS (
        SELECT 1 FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = 'nextcloud' AND TABLE_NAME = 'oc_ldap_user_mapping'
    ) THEN
        SELECT 'accounts', 'directory', COUNT(*) FROM nextcloud.oc_ldap_user_mapping;
    END IF;
    -- as Nextcloud counts them itself, from 32 on: by their last log-in
    SELECT 'active_accounts', within.name, COUNT(login.userid)
    FROM (SELECT '5m' AS name, 300 AS seconds UNION ALL SELECT '1h', 3600 UNION ALL SELECT '24h', 86400) within
    LEFT JOIN nextcloud.oc_preferences login ON login.appid = 'login' AND login.configkey = 'lastLogin'
        AND CAST(login.configvalue AS UNSIGNED) >= UNIX_TIMESTAMP() - within.seconds
    GROUP BY within.name;
    -- numbers as in OCP.Authentication.Token.IToken
    SELECT 'tokens', kind.name, COUNT(token.id)
    FROM (SELECT 0 AS type, 'session' AS name UNION ALL SELECT 1, 'application') kind
    LEFT JOIN nextcloud.oc_authtoken token ON token.type = kind.type
    GROUP BY kind.name;
    -- what is older makes nobody wait
    SELECT 'throttled_logins', '', COUNT(*) FROM nextcloud.oc_bruteforce_attempts
    WHERE action = 'login' AND occurred > UNIX_TIMESTAMP() - 43200;
    SELECT 'files', '', COUNT(*)
    FROM nextcloud.oc_storages storage
    JOIN nextcloud.oc_filecache file ON file.storage = storage.numeric_id
    WHERE storage.id LIKE 'home::%' AND file.mimetype <> COALESCE(
        (SELECT id FROM nextcloud.oc_mimetypes WHERE mimetype = 'httpd/unix-directory'), 0
    );
    SELECT 'data_bytes', kind.name, COALESCE(SUM(GREATEST(file.size, 0)), 0)
    FROM (
        SELECT 'files' AS name, MD5('files') AS path_hash
        UNION ALL SELECT 'deleted', MD5('files_trashbin')
        UNION ALL SELECT 'versions', MD5('files_versions')
    ) kind
    LEFT JOIN (
        nextcloud.oc_storages storage JOIN nextcloud.oc_filecache file ON file.storage = storage.numeric_id
    ) ON storage.id LIKE 'home::%' AND file.path_hash = kind.path_hash
    GROUP BY kind.name;
    SELECT 'database_bytes', '', COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0)
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'nextcloud';
    -- numbers as in OCP.Share.IShare; what the share of a group becomes at a member is none of its own
    SELECT 'shares', kind.name, COUNT(share.id)
    FROM (
        SELECT 0 AS type, 'user' AS name
        UNION ALL SELECT 1, 'group'
        UNION ALL SELECT 3, 'link'
        UNION ALL SELECT 4, 'email'
        UNION ALL SELECT 6, 'remote'
        UNION ALL SELECT 7, 'team'
        UNION ALL SELECT 9, 'remote-group'
        UNION ALL SELECT 10, 'room'
    ) kind
    LEFT JOIN nextcloud.oc_share share ON share.share_type = kind.type
    GROUP BY kind.name;
    SELECT 'background_jobs_timestamp_seconds', '', configvalue FROM nextcloud.oc_appconfig
    WHERE appid = 'core' AND configkey = 'lastcron';
END
